// Accounts as people create and keep them: registration with an address, addresses, a forgotten password, and the
// pages in German. The server has LATCHET_REGISTRATION=open; its mails are files in the folder MAILS.
import assert from 'node:assert/strict';
import { NAME, base, confirm, finish, focused, focuses, look, open, program, rows, says, signIn } from './page_kit.mjs';
import { codeIn, linkIn, mailTo } from './mails.mjs';

const PASSWORD = 'a long pass phrase of carol';
const NEXT = 'another long pass phrase of carol';

const problem = (page, id, text) => page.locator(`#${id}-error`).filter({ hasText: text }).waitFor();
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const wrongCode = (right) => (right === '000000' ? '111111' : '000000');

const context = await open();
const page = await context.newPage();

// Registration, with the faults of a hurried person first.
await page.goto(`${base}/account`);
await page.getByRole('link', { name: 'Create account' }).click();
await page.waitForURL(`${base}/register`);
await page.locator('#register').waitFor();
await look(page, 'register');
await press(page, 'Create the account');
await problem(page, 'username', 'Please fill in this field.');
assert.equal(await focused(page), 'username');
await problem(page, 'email', 'Please fill in this field.');
await page.getByLabel('User name').fill(NAME);
await page.getByLabel('E-mail address').fill('no address');
await page.getByLabel('Password', { exact: true }).fill('short');
await press(page, 'Create the account');
await problem(page, 'email', 'such as ada@example.org');
await page.getByLabel('E-mail address').fill(' carol@example.org ');
await press(page, 'Create the account');
await problem(page, 'password', 'The password is shorter than');
await look(page, 'register-weak-password');
await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
await page.keyboard.press('Enter');
await problem(page, 'username', 'This user name is taken.');
assert.equal(await focused(page), 'username');
await page.getByLabel('User name').fill('carol');
await page.keyboard.press('Enter');
await focuses(page, 'sent');
assert.match(await page.locator('#sent').innerText(), /on its way to carol@example\.org\./);
await look(page, 'register-sent');

// The code, as it is pasted from a mail.
const code = codeIn(await mailTo('carol@example.org', 1));
const field = page.getByLabel('Code');
await field.fill('12345');
await press(page, 'Confirm the address');
await problem(page, 'code', 'The code has six digits.');
await field.fill(wrongCode(code));
await page.keyboard.press('Enter');
await problem(page, 'code', 'This link or code is wrong');
assert.equal(await focused(page), 'code');
await field.fill('');
await field.focus();
await page.keyboard.insertText(` ${code.slice(0, 3)} ${code.slice(3)} `);
await page.keyboard.press('Enter');
await focuses(page, 'done');
await page.getByText('Your address is confirmed.').waitFor();
await look(page, 'register-done');
await page.getByRole('link', { name: 'Sign in' }).click();
await signIn(page, 'Carol@Example.org', PASSWORD);
assert.equal(await page.locator('#me-username').innerText(), 'carol');
const [only] = await rows(page, 'emails', 1);
assert.match(only, /carol@example\.org\s+Primary\s+Confirmed/);
await look(page, 'account-address');

// A second address; the first mail is not used.
const section = page.locator('#emails');
await section.getByLabel('Another address').fill('second@example.net');
await press(page, 'Add the address');
await focuses(page, 'email-code');
await press(page, 'Later');
await focuses(page, 'emails-title');
const [, unconfirmed] = await rows(page, 'emails', 2);
assert.match(unconfirmed, /Not confirmed/);
await look(page, 'account-two-addresses');
const second = page.getByRole('row', { name: 'second@example.net' });
await second.getByRole('button', { name: 'Send again' }).click();
await focuses(page, 'email-code');
await section.getByLabel('Code').fill(codeIn(await mailTo('second@example.net', 2)));
await press(page, 'Confirm the address');
await says(page, 'second@example.net is confirmed.');
await second.getByRole('button', { name: 'Make primary' }).click();
await says(page, 'second@example.net receives notices from now on.');
await second.getByText('Primary', { exact: true }).waitFor();
await page.getByRole('row', { name: 'carol@example.org' }).getByRole('button', { name: 'Remove' }).click();
await confirm(page, 'Remove carol@example.org?');
await says(page, 'carol@example.org is removed.');
await rows(page, 'emails', 1);
await focuses(page, 'emails-title');
assert.equal((await program('carol@example.org', PASSWORD)).status, 401);

// A forgotten password, by the link of the second mail. The device that is signed in is signed out.
const stranger = await open();
const forgot = await stranger.newPage();
await forgot.goto(`${base}/account`);
await forgot.getByRole('link', { name: 'Forgot password?' }).click();
await forgot.getByLabel('E-mail address').fill('second@example.net');
await press(forgot, 'Send a mail');
await focuses(forgot, 'sent');
await look(forgot, 'forgot-sent');
await press(forgot, 'Send another mail');
await says(forgot, 'Another mail is on its way');
assert.equal(await focused(forgot), 'code');
const link = linkIn(await mailTo('second@example.net', 2, '/reset#'));
const reset = await stranger.newPage();
await reset.goto(link);
await reset.getByRole('button', { name: 'Set the password' }).waitFor();
assert.equal(reset.url(), `${base}/reset`, 'the secret leaves the address');
await reset.waitForFunction(() => document.querySelector('[name=username]').value === 'carol');
await look(reset, 'reset');
await reset.getByLabel('New password').fill(NEXT);
await reset.keyboard.press('Enter');
await focuses(reset, 'done');
assert.equal((await program('carol', PASSWORD)).status, 401, 'the old password is refused');
await page.reload();
await page.locator('#sign-in').waitFor();
await reset.getByRole('link', { name: 'Sign in with it' }).click();
await signIn(reset, 'second@example.net', NEXT);
await reset.goto(link);
await reset.getByLabel('New password').fill(NEXT);
await reset.keyboard.press('Enter');
await reset.locator('.problem').filter({ hasText: 'was used' }).waitFor();

// German, as the browser prefers it: every text of every page.
const german = await open({ locale: 'de-DE' });
const deutsch = await german.newPage();
const englishTexts = () => deutsch.evaluate(async () => {
  const { default: dictionary } = await import('/pages/de.js');
  const texts = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const text = node.data.trim();
    if (Object.hasOwn(dictionary, text) && dictionary[text] !== text) found.push(text);
  }
  return found;
});
const isGerman = async () => {
  await deutsch.getByRole('button', { name: 'Deutsch', pressed: true }).waitFor();
  assert.equal(await deutsch.locator('html').getAttribute('lang'), 'de');
  assert.deepEqual(await englishTexts(), []);
};
const secret = 'a-link-that-the-server-never-sent-to-anybody';
for (const [name, path, heading] of [
  ['account', '/account', 'Anmelden'],
  ['unknown-site', '/account?return_to=https://other.example/', 'Dieser Link führt zu einer unbekannten Adresse'],
  ['register', '/register', 'Konto erstellen'],
  ['forgot', '/forgot', 'Vergessenes Passwort'],
  ['verify-without-link', '/verify', 'Bestätigen Sie Ihre E-Mail-Adresse'],
  ['verify', `/verify#${secret}`, 'Bestätigen Sie Ihre E-Mail-Adresse'],
  ['reset', `/reset#${secret}`, 'Neues Passwort'],
  ['setup', `/setup#${secret}`, 'Erste Administratorin'],
]) {
  // From another page: a new fragment alone would load nothing.
  await deutsch.goto(`${base}/livez`);
  await deutsch.goto(base + path);
  await deutsch.getByRole('heading', { name: heading }).waitFor();
  await isGerman();
  await look(deutsch, `german-${name}`);
}

// The language changes in place, and the choice is kept.
await deutsch.goto(`${base}/register`);
await deutsch.getByLabel('Benutzername').fill('dora');
await press(deutsch, 'English');
await deutsch.getByRole('heading', { name: 'Create account' }).waitFor();
assert.equal(await deutsch.getByLabel('User name').inputValue(), 'dora', 'what was typed stays');
assert.equal(await deutsch.title(), 'Create account · Latchet');
assert.equal(await deutsch.locator('html').getAttribute('lang'), 'en');
await deutsch.reload();
await deutsch.getByRole('heading', { name: 'Create account' }).waitFor();
await press(deutsch, 'Deutsch');
await deutsch.getByRole('heading', { name: 'Konto erstellen' }).waitFor();
await isGerman();

// So are refusals and mails.
await deutsch.getByLabel('Benutzername').fill('dora');
await deutsch.getByLabel('E-Mail-Adresse').fill('dora@example.org');
await deutsch.getByLabel('Passwort', { exact: true }).fill('short');
await press(deutsch, 'Konto anlegen');
await problem(deutsch, 'password', /Das Passwort ist kürzer als \d+ Byte\./);
await deutsch.getByLabel('Passwort', { exact: true }).fill(PASSWORD);
await deutsch.keyboard.press('Enter');
await focuses(deutsch, 'sent');
const mail = await mailTo('dora@example.org', 1);
assert.match(mail, /bitte bestätigen Sie/);
await deutsch.getByLabel('Code').fill(wrongCode(codeIn(mail)));
await deutsch.keyboard.press('Enter');
await problem(deutsch, 'code', 'Dieser Link oder Code ist falsch');
await look(deutsch, 'german-register-sent');
await deutsch.goto(linkIn(mail));
await press(deutsch, 'English');
await press(deutsch, 'Confirm this address');
await focuses(deutsch, 'done');
await press(deutsch, 'Deutsch');
await deutsch.getByRole('link', { name: 'Zu Ihrem Konto' }).click();
await deutsch.getByLabel('Benutzername oder E-Mail-Adresse').fill('dora');
await deutsch.getByLabel('Passwort', { exact: true }).fill(PASSWORD);
await press(deutsch, 'Anmelden');
await focuses(deutsch, 'title');
await rows(deutsch, 'devices', 1);
await rows(deutsch, 'emails', 1);
await isGerman();
assert.match(await deutsch.locator('#devices').innerText(), /(Chrome auf (Linux|macOS))[^]*(jetzt|vor \d+ Sekunde)/);
await look(deutsch, 'german-account-signed-in');
await press(deutsch, 'English');
await deutsch.locator('#devices').getByText('This device').waitFor();
assert.match(await deutsch.locator('#devices').innerText(), /(Chrome on (Linux|macOS))[^]*(now|\d+ seconds? ago)/);
assert.equal(await deutsch.title(), 'Your account · Latchet');

// A server without mail and registration.
const closed = await open();
await closed.route('**/v1/sign-in-options', (route) => route.fulfill({ json: { registration: false, mail: false } }));
const shut = await closed.newPage();
await shut.goto(`${base}/register`);
await shut.getByText('Registration is closed on this server.').waitFor();
await look(shut, 'register-closed');
await shut.goto(`${base}/forgot`);
await shut.getByText('This server sends no mails.').waitFor();
for (const form of await shut.locator('form').all()) assert.equal(await form.isVisible(), false);
await shut.goto(`${base}/account`);
await shut.locator('#sign-in').waitFor();
assert.equal(await shut.locator('#links').isVisible(), false);

await finish('accounts are created and kept');
