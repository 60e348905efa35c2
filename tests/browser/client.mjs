// Several tabs of one browser with the client that the server serves: log in, reload, expire, log out.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import assert from 'node:assert/strict';
import {
  EMPTY, EMPTY_BUT_CSRF, becomes, cookies, expire, login, me, openBrowser, refreshCookie, start, stored,
} from './pages.mjs';

const { URL: base, NAME, PASSWORD } = process.env;
const { browser, context, faults } = await openBrowser();

const refreshes = [];
context.on('request', (request) => {
  if (request.url().endsWith('/v1/refresh')) refreshes.push(request);
});

const open = async () => {
  const page = await context.newPage();
  await page.goto(`${base}/setup`);
  await page.evaluate(start);
  return page;
};

// A page of another origin may import the client.
const site = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<!doctype html>'));
await new Promise((resolve) => { site.listen(0, '127.0.0.1', resolve); });
const foreign = await context.newPage();
await foreign.goto(`http://127.0.0.1:${site.address().port}/`);
assert.equal(await foreign.evaluate(async (url) => typeof (await import(url)).createAuth, `${base}/client/latchet.js`), 'function');
await foreign.close();
site.close();
site.closeAllConnections();

const first = await open();
assert.equal(await first.evaluate(() => window.auth.state().status), 'signed-out');
const wrong = await first.evaluate((username) =>
  window.auth.login({ username, password: 'not the password, though long' }).catch(({ code }) => code), NAME);
assert.equal(wrong, 'invalid_credentials');
await login(first, NAME, PASSWORD);
await becomes(first, 'signed-in');
assert.equal(await me(first), 200);

const tabs = [first, await open(), await open()];
for (const tab of tabs) {
  await becomes(tab, 'signed-in');
  assert.equal(await me(tab), 200);
}
assert.equal((await refreshCookie(context))?.httpOnly, true, 'no script can read the refresh token');

// Five requests of a page whose token has expired.
await expire(first);
refreshes.length = 0;
const statuses = await first.evaluate(() => Promise.all(
  [1, 2, 3, 4, 5].map(async () => (await window.auth.fetch('/v1/me')).status),
));
assert.deepEqual(statuses, [200, 200, 200, 200, 200]);
assert.equal(refreshes.length, 1, 'five requests, one refresh');

// All tabs at once: in whatever order they come, nobody is signed out.
await Promise.all(tabs.map(expire));
assert.deepEqual(await Promise.all(tabs.map(me)), [200, 200, 200]);

await tabs[1].reload();
await tabs[1].evaluate(start);
await becomes(tabs[1], 'signed-in');
assert.equal(await me(tabs[1]), 200);
const devices = await tabs[1].evaluate(() => window.auth.sessions());
assert.deepEqual(devices.map(({ current, label }) => [current, label]), [[true, 'tab']], 'it is still the one session');

for (const tab of tabs) assert.equal(await stored(tab), EMPTY_BUT_CSRF, 'nothing is stored');

// A refresh of the third tab is under way while the first logs out; its answer comes after the logout's.
let letGo;
const held = new Promise((resolve) => { letGo = resolve; });
let arrived;
const answered = new Promise((resolve) => { arrived = resolve; });
// The route stays for good: what a page sends while one is taken away is seen by nobody here.
let isHeld = false;
await context.route('**/v1/refresh', async (route) => {
  if (isHeld) return route.continue();
  isHeld = true;
  const response = await route.fetch();
  arrived();
  await held;
  await route.fulfill({ response });
});
await expire(tabs[2]);
const asked = tabs[2].waitForRequest('**/v1/refresh');
const late = tabs[2].evaluate(() => window.auth.token());
await asked;
await answered;
// Or it would wait for the third tab's turn to end.
await first.evaluate(() => Object.defineProperty(navigator, 'locks', { value: undefined }));
await first.evaluate(() => window.auth.logout());
for (const tab of tabs) await becomes(tab, 'signed-out');
const cleared = tabs[2].waitForResponse((response) => response.url().endsWith('/v1/logout'));
letGo();
assert.equal(await late, null, 'a token that comes after the logout is discarded');
assert.equal((await cleared).status(), 204);
assert.deepEqual(await cookies(context), [], 'no cookie comes back');

for (const tab of tabs) {
  assert.equal(await tab.evaluate(() => window.auth.token()), null);
  assert.equal(await me(tab), 401);
}
refreshes.length = 0;
await tabs[1].reload();
await tabs[1].evaluate(start);
assert.equal(await tabs[1].evaluate(() => window.auth.state().status), 'signed-out');
assert.equal(await tabs[1].evaluate(() => window.auth.token()), null);
assert.equal(refreshes.length, 0, 'nobody is asked for a session that is not there');
for (const tab of tabs) assert.equal(await stored(tab), EMPTY, 'nothing is stored');

// The page of the client's README.
const readme = readFileSync(new URL('../../web/client/README.md', import.meta.url), 'utf8');
const [, html] = readme.match(/```html\n([^]*?)```/);
await context.route(`${base}/app`, (route) =>
  route.fulfill({ contentType: 'text/html', body: html.replace('alice', NAME) }));
const app = await context.newPage();
app.on('dialog', (dialog) => dialog.accept(PASSWORD));
await app.goto(`${base}/app`);
await app.waitForFunction((name) => document.title === name, NAME);
await becomes(tabs[0], 'signed-in');

// The session ends on another device: the page notices it when it comes to the front, and so do all tabs.
const json = { 'Content-Type': 'application/json' };
const device = await fetch(`${base}/v1/login`, {
  method: 'POST', headers: json, body: JSON.stringify({ username: NAME, password: PASSWORD }),
});
const { access_token: access } = await device.json();
const ended = await fetch(`${base}/v1/me/sessions/${await tabs[0].evaluate(() => window.auth.state().sessionId)}`, {
  method: 'DELETE', headers: { Authorization: `Bearer ${access}` },
});
assert.equal(ended.status, 204);
assert.deepEqual(await tabs[0].evaluate(() => window.auth.state().user?.username), NAME);
await tabs[0].bringToFront();
await tabs[0].evaluate(() => {
  const now = Date.now.bind(Date);
  Date.now = () => now() + 60_000;
  window.dispatchEvent(new Event('focus'));
});
for (const tab of tabs) await becomes(tab, 'signed-out');

assert.deepEqual(faults, []);
await browser.close();
console.log('the client keeps its promises');
