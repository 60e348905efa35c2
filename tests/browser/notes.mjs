// The notes of `examples/spa` as people use them: several tabs, an expired token, another user, another device.
import assert from 'node:assert/strict';
import { launch } from './launch.mjs';

const { URL: base, NAME, PASSWORD, OTHER_NAME, OTHER_PASSWORD } = process.env;
const browser = await launch();

const faults = [];
// One device: cookies of its own.
const device = async () => {
  const context = await browser.newContext({ viewport: { width: 320, height: 640 } });
  context.setDefaultTimeout(20_000);
  context.on('page', (page) => page.on('pageerror', (error) => faults.push(error.message)));
  return context;
};
const open = async (context) => {
  const page = await context.newPage();
  await page.goto(base);
  return page;
};
const signIn = async (page, name, password) => {
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
};
const isSignedIn = (page) => page.getByRole('heading', { name: 'Your notes' }).waitFor();
const isSignedOut = (page) => page.getByRole('button', { name: 'Sign in' }).waitFor();
const note = (page, text) => page.getByRole('listitem').filter({ hasText: text });
const isTold = (page, text) => page.getByRole('alert').filter({ hasText: text }).waitFor();
const add = async (page, text) => {
  await page.getByLabel('New note').fill(text);
  await page.getByRole('button', { name: 'Add' }).click();
  await note(page, text).waitFor();
};

const laptop = await device();
const first = await open(laptop);
await isSignedOut(first);
await signIn(first, NAME, 'not the password, though long');
await isTold(first, 'wrong');
await signIn(first, NAME, PASSWORD);
await isSignedIn(first);
await first.getByText('None yet.').waitFor();
await add(first, 'water the plants');

await first.reload();
await note(first, 'water the plants').waitFor();
const second = await open(laptop);
await note(second, 'water the plants').waitFor();

// Five notes at once after the token has expired.
const refreshes = [];
laptop.on('request', (request) => {
  if (request.url().endsWith('/v1/refresh')) refreshes.push(request);
});
await first.evaluate(() => {
  const now = performance.now.bind(performance);
  performance.now = () => now() + 3_600_000;
  const input = document.querySelector('#text');
  for (const number of [1, 2, 3, 4, 5]) {
    input.value = `thought ${number}`;
    input.form.requestSubmit();
  }
});
const thoughts = [1, 2, 3, 4, 5].map((number) => `thought ${number}`);
for (const thought of thoughts) await note(first, thought).waitFor();
assert.equal(refreshes.length, 1, 'five requests, one refresh');
await second.reload();
for (const thought of [...thoughts, 'water the plants']) await note(second, thought).waitFor();

await second.getByRole('button', { name: 'Delete “thought 3”' }).click();
await note(second, 'thought 3').waitFor({ state: 'detached' });
await first.reload();
await note(first, 'thought 4').waitFor();
assert.equal(await note(first, 'thought 3').count(), 0);

// Somebody else sees none of that, and deletes nothing.
const others = await open(await device());
await signIn(others, OTHER_NAME, OTHER_PASSWORD);
await isSignedIn(others);
await others.getByText('None yet.').waitFor();
const [foreign] = await first.evaluate(async () => (await import('/src/notes.ts')).list());
const refused = await others.evaluate(async (id) =>
  (await import('/src/notes.ts')).remove(id).catch(({ code }) => code), foreign.id);
assert.equal(refused, 'not_found');

// Another device of the same user, signed out from here: it takes effect on its next request.
const phone = await open(await device());
await signIn(phone, NAME, PASSWORD);
await isSignedIn(phone);
await first.reload();
await first.getByText('This browser').waitFor();
// This browser goes by no other name.
const other = first.getByRole('listitem').filter({ hasText: 'HeadlessChrome' });
await other.getByRole('button', { name: 'Sign it out' }).click();
await other.waitFor({ state: 'detached' });
await phone.getByLabel('New note').fill('too late');
await phone.getByRole('button', { name: 'Add' }).click();
await isTold(phone, 'Your session has ended');
await first.reload();
await note(first, 'thought 4').waitFor();
assert.equal(await note(first, 'too late').count(), 0);

// A token that was refreshed does not prove the password.
await first.getByRole('button', { name: 'Delete all' }).click();
const dialog = first.getByRole('dialog', { name: 'Delete all notes' });
await dialog.getByLabel('Your password').fill('not the password, though long');
await dialog.getByRole('button', { name: 'Delete all notes' }).click();
await isTold(first, 'wrong');
await dialog.getByLabel('Your password').fill(PASSWORD);
await dialog.getByRole('button', { name: 'Delete all notes' }).click();
await first.getByText('None yet.').waitFor();
assert.equal(await dialog.count(), 0);
await second.reload();
await second.getByText('None yet.').waitFor();

// The narrowest screen, in both colours.
const long = 'w'.repeat(200);
await add(second, long);
const colours = new Set();
for (const colorScheme of ['light', 'dark']) {
  await second.emulateMedia({ colorScheme });
  const [width, colour] = await second.evaluate(() =>
    [document.documentElement.scrollWidth, getComputedStyle(document.querySelector('h1')).color]);
  assert.equal(width, 320, 'nothing is wider than the screen');
  colours.add(colour);
}
assert.equal(colours.size, 2);

for (const tab of [first, second]) {
  const stored = await tab.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.equal(stored, '[{},{}]', 'nothing is stored');
}
await first.getByRole('button', { name: 'Sign out', exact: true }).click();
for (const tab of [first, second]) {
  await isSignedOut(tab);
  assert.equal(await note(tab, long).count(), 0);
}
await second.reload();
await isSignedOut(second);
await others.getByText('None yet.').waitFor();

assert.deepEqual(faults, []);
await browser.close();
console.log('the notes keep their promises');
