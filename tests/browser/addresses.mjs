// E-mail addresses as a person uses them: add one on /account, confirm it by the code or the link of the mail, sign in
// by it, and reset a forgotten password. The mails are files in the folder MAILS.
import assert from 'node:assert/strict';
import { codeIn, linkIn, mailTo } from './mails.mjs';
import { NAME, PASSWORD, base, confirm, finish, focuses, look, open, rows, says, signIn } from './page_kit.mjs';

const context = await open();
const page = await context.newPage();
await page.goto(base);
await page.getByRole('link', { name: 'Forgot password?' }).waitFor();
await page.getByLabel('User name or e-mail address').waitFor();
await look(page, 'account-signed-out-with-mail');
await signIn(page);

// An address is added, and confirmed by its code.
const section = page.locator('#emails');
await section.getByLabel('Another address').fill('no address');
await section.getByRole('button', { name: 'Add the address' }).click();
assert.notEqual(await page.locator('#new-email-error').innerText(), '');
await section.getByLabel('Another address').fill('first@example.org');
await page.keyboard.press('Enter');
await focuses(page, 'email-code');
await look(page, 'account-email-code');
const first = await mailTo('first@example.org', 1);
await section.getByLabel('Code').fill(codeIn(first) === '000000' ? '111111' : '000000');
await page.keyboard.press('Enter');
await page.locator('#email-code-error').filter({ hasText: 'ask for another mail' }).waitFor();
const code = codeIn(first);
await section.getByLabel('Code').fill(`${code.slice(0, 3)} ${code.slice(3)}`);
await page.keyboard.press('Enter');
await says(page, 'first@example.org is confirmed.');
await focuses(page, 'emails-title');
const [only] = await rows(page, 'emails', 1);
assert.match(only, /first@example\.org\s+Primary/);

// Another one by the link of its mail, in another window. Opening the link alone confirms nothing.
await section.getByLabel('Another address').fill('second@example.org');
await page.keyboard.press('Enter');
await focuses(page, 'email-code');
const link = linkIn(await mailTo('second@example.org', 1));
const other = await context.newPage();
await other.goto(link);
await other.getByRole('button', { name: 'Confirm this address' }).waitFor();
assert.equal(other.url(), `${base}/verify`, 'the secret leaves the address');
await look(other, 'verify');
await page.reload();
const [, unconfirmed] = await rows(page, 'emails', 2);
assert.match(unconfirmed, /Not confirmed/);
await other.getByRole('button', { name: 'Confirm this address' }).click();
await focuses(other, 'done');
await look(other, 'verify-done');
await other.goto(link);
await other.getByRole('button', { name: 'Confirm this address' }).click();
await other.locator('.problem').filter({ hasText: 'was used' }).waitFor();
await other.goto(`${base}/verify`);
await other.getByText('Open the complete link').waitFor();
await other.close();

// The primary one is chosen, and the other one removed.
await page.reload();
await rows(page, 'emails', 2);
await look(page, 'account-emails');
await page.getByRole('row', { name: 'second@example.org' }).getByRole('button', { name: 'Make primary' }).click();
await page.getByRole('dialog', { name: 'Confirm with your password' }).waitFor();
await look(page, 'account-prove');
await page.getByLabel('Your password', { exact: true }).fill(PASSWORD);
await page.keyboard.press('Enter');
await says(page, 'second@example.org receives notices');
await page.getByRole('row', { name: 'second@example.org' }).getByText('Primary').waitFor();
await page.getByRole('row', { name: 'first@example.org' }).getByRole('button', { name: 'Remove' }).click();
await confirm(page, 'Remove first@example.org?');
await says(page, 'first@example.org is removed.');
await rows(page, 'emails', 1);
await page.getByRole('button', { name: 'Sign out', exact: true }).click();
await page.locator('#sign-in').waitFor();
await signIn(page, 'Second@example.org');
assert.equal(await page.locator('#me-username').innerText(), NAME);

// Somebody has forgotten the password: the page shows the same for every address.
const stranger = await open();
const forgot = await stranger.newPage();
await forgot.goto(`${base}/account`);
await forgot.getByRole('link', { name: 'Forgot password?' }).click();
await look(forgot, 'forgot');
for (const address of ['nobody@example.org', 'second@example.org']) {
  await forgot.getByLabel('E-mail address').fill(address);
  await forgot.getByRole('button', { name: 'Send a mail' }).click();
  await focuses(forgot, 'sent');
  if (address.startsWith('nobody')) {
    await look(forgot, 'forgot-sent');
    await forgot.getByRole('button', { name: 'enter the address again' }).click();
    await focuses(forgot, 'email');
  }
}
const reset = await mailTo('second@example.org', 3);
await forgot.getByLabel('Code').fill(codeIn(reset));
await forgot.getByLabel('New password').fill('passwordpassword');
await forgot.getByRole('button', { name: 'Set the password' }).click();
await forgot.locator('#password-error').filter({ hasText: 'The password is one of the' }).waitFor();
const password = 'a second long pass phrase';
await forgot.getByLabel('New password').fill(password);
await forgot.keyboard.press('Enter');
await focuses(forgot, 'done');
await look(forgot, 'forgot-done');
await page.reload();
await page.locator('#sign-in').waitFor();
await forgot.getByRole('link', { name: 'Sign in with it' }).click();
await signIn(forgot, NAME, password);
await finish('addresses are confirmed, and a forgotten password is set');
