// /account as a person uses it: sign in, look at devices, end some, change the password, sign out.
import { execFileSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { HOSTILE, NAME, PASSWORD, base, confirm, finish, focused, focuses, look, open, program, rows, says, signIn } from './page_kit.mjs';

const context = await open({ permissions: ['clipboard-read', 'clipboard-write'] });
const page = await context.newPage();
const problem = (id, text) => page.locator(`#${id}-error`).filter({ hasText: text }).waitFor();

// Where a person arrives who knows the host alone.
await page.goto(base);
assert.equal(new URL(page.url()).pathname, '/account');
await focuses(page, 'username');
await look(page, 'account-signed-out');

// By the keyboard alone.
await page.keyboard.press('Enter');
assert.notEqual(await page.locator('#username-error').innerText(), '', 'the browser says that it is empty');
await page.keyboard.type(NAME);
await page.keyboard.press('Tab');
await page.keyboard.type('not the password, though long');
await page.keyboard.press('Enter');
await problem('password', 'The user name or the password is wrong.');
assert.equal(await focused(page), 'password');
assert.equal(await page.locator('#password').getAttribute('aria-invalid'), 'true');
await look(page, 'account-wrong-password');
await page.keyboard.press('ControlOrMeta+a');
await page.keyboard.type(PASSWORD);
assert.equal(await page.locator('#password').getAttribute('aria-invalid'), null);
await page.keyboard.press('Enter');
await focuses(page, 'title');
assert.equal(await page.title(), 'Your account · Latchet');
assert.equal(await page.locator('#me-username').innerText(), NAME);
assert.equal(await page.locator('#me-roles').innerText(), 'admin');
const [only] = await rows(page, 'devices', 1);
assert.match(only, /Chrome on Linux|Chrome on macOS/);
assert.match(only, /127\.0\.0\.1/);
assert.match(only, /This device/);
await look(page, 'account');

// Other devices, as strangers name them.
const phone = await program(NAME, PASSWORD, 'Phone', 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1');
const hostile = await program(NAME, PASSWORD, HOSTILE, HOSTILE);
await program(NAME, PASSWORD);
await page.reload();
await page.keyboard.press('Tab');
assert.equal(await focused(page), 'Skip to the content');
const devices = await rows(page, 'devices', 4);
assert.ok(devices.some((row) => row.includes('Phone (Safari on iPhone)')), devices.join('\n'));
assert.ok(devices.some((row) => row.includes(`${HOSTILE} (${HOSTILE})`)), 'a hostile name is shown as it is');
assert.ok(devices.some((row) => row.includes('program/1.0')));
const times = await page.locator('#devices time').evaluateAll((all) => all.map(({ dateTime }) => dateTime));
assert.equal(times.length, 8);
assert.ok(times.every((time) => /^\d{4}-\d\d-\d\dT.*Z$/.test(time)), times.join());
await page.keyboard.press('Enter');
await page.keyboard.press('Tab');
assert.equal(await focused(page), 'end-others', 'the bar is skipped');
await look(page, 'account-devices');

// One: first not, by Escape, then yes, by the keyboard.
const end = page.getByRole('row', { name: 'Phone' }).getByRole('button', { name: 'Sign out' });
await end.focus();
await page.keyboard.press('Enter');
await page.getByRole('dialog', { name: 'Sign out Phone (Safari on iPhone)?' }).waitFor();
assert.equal(await focused(page), 'Cancel');
const animation = () => page.locator('#confirm').evaluate((dialog) => getComputedStyle(dialog).animationName);
assert.equal(await animation(), 'none', 'nothing moves for users who prefer reduced motion');
await page.emulateMedia({ reducedMotion: 'no-preference' });
assert.equal(await animation(), 'rise');
await page.emulateMedia({ reducedMotion: 'reduce' });
await look(page, 'account-confirm');
await page.keyboard.press('Escape');
await page.getByRole('dialog').waitFor({ state: 'hidden' });
assert.equal(await focused(page), 'Sign out', 'the focus is back on the button');
assert.equal((await phone.call('GET', '/v1/me'))[0], 200);
await page.keyboard.press('Enter');
await page.keyboard.press('Tab');
await page.keyboard.press('Enter');
await says(page, 'Phone (Safari on iPhone) is signed out.');
await rows(page, 'devices', 3);
await focuses(page, 'devices-title');
assert.equal((await phone.call('GET', '/v1/me'))[0], 401);
assert.equal((await hostile.call('GET', '/v1/me'))[0], 200);

// Opened again before the browser reports that the first dialog was closed.
await page.getByRole('button', { name: 'Sign out others' }).evaluate((button) => {
  button.click();
  document.querySelector('#confirm').close();
  button.click();
});
await confirm(page, 'Sign out all other devices?');
await says(page, 'All other devices are signed out.');
await rows(page, 'devices', 1);
assert.equal((await hostile.call('GET', '/v1/me'))[0], 401);
assert.equal(await page.getByRole('button', { name: 'Sign out others' }).isVisible(), false);

// The copied command works unchanged.
await page.getByRole('button', { name: 'Copy the command' }).click();
await says(page, 'The command is copied.');
const command = await page.evaluate(() => navigator.clipboard.readText());
assert.ok(!(await page.locator('#curl-shown').innerText()).includes('eyJ'), 'the token is not on the screen');
const answer = execFileSync('sh', ['-c', command], { encoding: 'utf8' });
assert.equal(JSON.parse(answer).user.username, NAME);
await context.clearPermissions();
await page.evaluate(() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); });
await page.getByRole('button', { name: 'Copy the command' }).click();
await says(page, 'Copy the selected text.');
assert.equal(await page.locator('#curl-whole').inputValue(), command);

// The server is away: the page says so, and goes on by itself.
await context.setOffline(true);
await page.getByRole('button', { name: 'Copy the command' }).waitFor();
await page.evaluate(() => document.querySelector('#end-all').click());
await confirm(page, 'Sign out everywhere?');
await says(page, 'The server cannot be reached.');
assert.ok(await page.locator('#signed-in').isVisible(), 'nothing has ended');
await context.setOffline(false);

// Passwords.
const current = page.getByLabel('Current password');
const fresh = page.getByLabel('New password');
const change = page.getByRole('button', { name: 'Change the password' });
await current.fill(PASSWORD);
assert.equal(await page.locator('#status').innerText(), '', 'old news is in nobody’s way');
await fresh.fill('short');
await change.click();
await problem('new-password', 'The password is shorter than');
assert.equal(await focused(page), 'new-password');
assert.match(await fresh.getAttribute('aria-describedby'), /new-password-error/);
await look(page, 'account-weak-password');
await page.getByLabel('Show the passwords').check();
assert.equal(await fresh.getAttribute('type'), 'text');
const next = 'another long password of the administrator';
await current.fill('not the password, though long');
await fresh.fill(next);
await change.click();
await problem('current-password', 'is wrong');
const other = await program(NAME, PASSWORD);
await current.fill(PASSWORD);
await change.click();
await says(page, 'Your password is changed');
assert.equal(await fresh.inputValue(), '');
assert.equal(await fresh.getAttribute('type'), 'password');
assert.equal((await other.call('GET', '/v1/me'))[0], 401);
assert.equal((await program(NAME, PASSWORD)).status, 401);
assert.equal((await program(NAME, next)).status, 200);

// Two tabs, and the end of both.
const second = await context.newPage();
await second.goto(`${base}/account`);
await second.locator('#devices tbody tr').first().waitFor();
await page.getByRole('button', { name: 'Sign out everywhere' }).click();
await confirm(page, 'Sign out everywhere?');
for (const tab of [page, second]) {
  await tab.locator('#sign-in').waitFor();
  await tab.getByText('You are signed out.').waitFor();
  assert.equal(await tab.locator('#devices tbody tr').count(), 0, 'nothing of the person is left');
}
// The proof of a known device outlives the session: it grants nothing.
assert.deepEqual((await context.cookies()).map(({ name }) => name), ['latchet_device']);

// Ended by somebody else: the next thing one does says so.
await signIn(page, NAME, next);
await rows(page, 'devices', 1);
await (await program(NAME, next)).call('POST', '/v1/logout/all');
await page.getByRole('button', { name: 'Copy the command' }).waitFor();
await page.evaluate(() => document.querySelector('#end-all').click());
await confirm(page, 'Sign out everywhere?');
await page.getByText('Your session was ended').waitFor();
await page.locator('#sign-in').waitFor();
assert.equal(await page.locator('#status').innerText(), '', 'it is said once');

// Too many attempts.
while ((await program('somebody-else', PASSWORD)).status === 401);
await page.locator('#username').fill('somebody-else');
await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
await page.getByRole('button', { name: 'Sign in' }).click();
await page.locator('.problem').filter({ hasText: /Too many attempts\. Try again in \d+ (second|minute)s?\./ }).waitFor();
await look(page, 'account-throttled');

assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])), '[{},{}]');
await finish('the account page keeps its promises');
