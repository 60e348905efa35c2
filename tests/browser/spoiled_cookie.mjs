// A CSRF cookie that is not the session's: people sign in again, and stay signed in.
import assert from 'node:assert/strict';
import { base, finish, focuses, look, open, signIn } from './page_kit.mjs';

const context = await open();
const page = await context.newPage();
const reload = () => page.goto(`${base}/account`);
const isIn = () => page.locator('#signed-in').waitFor();

await reload();
await signIn(page);
await reload();
await isIn();

// Spoiled, by an extension for instance: no refresh can succeed.
await page.evaluate(() => { document.cookie = 'latchet_csrf=spoiled; path=/'; });
await reload();
await page.getByText('Please sign in again').waitFor();
await look(page, 'account-spoiled-cookie');
await signIn(page);
await reload();
await isIn();

// Beside the right one: a path of its own makes it the first of two.
await context.addCookies([{ name: 'latchet_csrf', value: 'planted', domain: new URL(base).hostname, path: '/account' }]);
await reload();
const names = await page.evaluate(() => document.cookie.split('; ').map((pair) => pair.split('=')[0]));
assert.equal(names.filter((name) => name === 'latchet_csrf').length, 2, names.join());
await isIn();

// Cookies of https on the same host, as after a move from there.
await context.clearCookies({ path: '/account' });
await context.addCookies([{ name: '__Host-latchet_csrf', value: 'other', domain: new URL(base).hostname, path: '/', secure: true }]);
await reload();
await isIn();

// Another server on this host has taken the usual names.
await context.clearCookies();
const { hostname: domain } = new URL(base);
for (const name of ['latchet_rt', 'latchet_csrf', 'latchet_device']) {
  await context.addCookies([{ name, value: 'of-another-server', domain, path: '/' }]);
}
await reload();
await page.locator('#sign-in').waitFor();
await signIn(page);
await reload();
await isIn();
const kept = await context.cookies();
assert.equal(kept.find(({ name }) => name === 'latchet_rt').value, 'of-another-server');
assert.equal(kept.filter(({ name }) => name.startsWith(`latchet_${new URL(base).port}_`)).length, 3);
await page.locator('#sign-out').click();
await focuses(page, 'username');
await finish('a wrong cookie keeps nobody out');
