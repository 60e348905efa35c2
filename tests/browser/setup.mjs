// /setup as the first person of a server uses it, and /reset without a link.
import assert from 'node:assert/strict';
import { NAME, PASSWORD, SETUP_LINK, base, finish, focused, focuses, look, open } from './page_kit.mjs';

const context = await open({ locale: 'de-DE', timezoneId: 'Europe/Berlin' });
const page = await context.newPage();

// The browser prefers German. The choice of English is kept.
await page.goto(`${base}/setup`);
await page.getByText('Öffnen Sie den ganzen Link').waitFor();
await look(page, 'setup-german');
await page.getByRole('button', { name: 'English' }).click();

for (const [path, words] of [['/setup', 'the server or `latchet setup-link` printed'], ['/reset', 'you received'], ['/setup#main', 'the server or `latchet setup-link` printed']]) {
  await page.goto(base + path);
  await page.getByText(words).waitFor();
  assert.equal(await page.locator('form').isVisible(), false);
}
await page.goto(`${base}/setup`);
await look(page, 'setup-without-link');

const wrong = 'a-link-that-the-server-never-printed-to-anybody';
await page.goto(`${base}/setup#${wrong}`);
await page.getByRole('button', { name: 'Create the account' }).waitFor();
assert.equal(page.url(), `${base}/setup`, 'the secret leaves the address');
await look(page, 'setup');
const name = page.getByLabel('User name');
const password = page.getByLabel('Password', { exact: true });
const make = page.getByRole('button', { name: 'Create the account' });
await name.fill(NAME);
await password.fill(PASSWORD);
await make.click();
await page.locator('.problem').filter({ hasText: 'This link is not valid' }).waitFor();

// The right link, opened in the same tab.
await page.evaluate((link) => { location.hash = link; }, new URL(SETUP_LINK).hash);
await page.waitForURL(`${base}/setup`);
await name.fill('two words');
await make.click();
await page.locator('#username-error').filter({ hasText: 'Must not contain spaces' }).waitFor();
assert.equal(await focused(page), 'username');
await name.fill(NAME);
await password.fill('passwordpassword');
await make.click();
await page.locator('#password-error').filter({ hasText: 'The password is one of the' }).waitFor();
assert.equal(await focused(page), 'password');
await look(page, 'setup-weak-password');
await password.fill(PASSWORD);
await page.keyboard.press('Enter');

await page.waitForURL(`${base}/admin`);
await page.getByRole('link', { name: NAME }).waitFor();
const made = page.locator('#users time');
// Before ten o'clock the hour has one digit.
assert.match(await made.innerText(), /^\d{1,2}\. \p{L}+\.?,? \d{1,2}:\d\d$/u, 'as the reader writes times');
assert.match(await made.getAttribute('datetime'), /^\d{4}-\d\d-\d\dT.*Z$/);
await look(page, 'admin-first');

// It works once.
await page.goto(SETUP_LINK);
await name.fill('mallory');
await password.fill(PASSWORD);
await make.click();
await page.locator('.problem').filter({ hasText: 'it is incomplete, was used' }).waitFor();
await focuses(page, 'Create the account');
await finish('the first administrator is in');
