// Latchet on a host of its own: what a page of the same site can do, and one of another.
import assert from 'node:assert/strict';
import { launch } from './launch.mjs';

const { URL: base, NAME, PASSWORD, SCRIPT, RULES } = process.env;
const latchet = 'https://auth.example.org';
const browser = await launch(`--host-resolver-rules=${RULES}`, '--ignore-certificate-errors');
const faults = [];
const refreshes = [];
const device = async () => {
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  context.on('page', (page) => page.on('pageerror', (error) => faults.push(error.message)));
  context.on('request', (request) => {
    if (request.url() === `${latchet}/v1/refresh` && request.method() === 'POST') refreshes.push(request);
  });
  return context;
};
const start = async (page) => {
  await page.addScriptTag({ type: 'module', content: `${SCRIPT}\nwindow.auth = auth;` });
  await page.waitForFunction(() => window.auth);
};
const open = async (context, site) => {
  const page = await context.newPage();
  await page.goto(site);
  await start(page);
  return page;
};
const reload = async (page) => {
  await page.reload();
  await start(page);
};
const becomes = (page, status) => page.waitForFunction((wanted) => window.auth.state().status === wanted, status);
const login = (page) =>
  page.evaluate(([username, password]) => window.auth.login({ username, password }), [NAME, PASSWORD]);
const expire = (page) => page.evaluate(() => {
  const now = performance.now.bind(performance);
  performance.now = () => now() + 3_600_000;
});
const me = (page) => page.evaluate(async (url) => (await window.auth.fetch(url)).status, `${latchet}/v1/me`);

// A sibling.
const context = await device();
const first = await open(context, base);
await becomes(first, 'signed-out');
await login(first);
assert.equal(await me(first), 200);
const cookies = await context.cookies();
assert.deepEqual(cookies.map(({ name, domain }) => [name, domain]).sort(), [
  ['__Host-latchet_csrf', 'auth.example.org'], ['__Host-latchet_device', 'auth.example.org'],
  ['__Host-latchet_rt', 'auth.example.org'],
]);
assert.equal(await first.evaluate(() => document.cookie), '', 'it reads no cookie of its sibling');
const order = await first.evaluate(async () => (await window.auth.fetch('/api/orders')).json());
assert.match(order.headers.authorization, /^Bearer eyJ/);
await expire(first);
refreshes.length = 0;
assert.deepEqual(await Promise.all([1, 2, 3, 4, 5].map(() => me(first))), [200, 200, 200, 200, 200]);
assert.equal(refreshes.length, 1, 'five requests, one refresh');

const second = await open(context, base);
await becomes(second, 'signed-in');
await reload(first);
await becomes(first, 'signed-in');
await expire(first);
assert.equal(await me(first), 200, 'what the other tab handed on lets it refresh');
await second.close();
await reload(first);
await becomes(first, 'signed-out');
await login(first);
assert.equal((await first.evaluate(() => window.auth.sessions())).length, 2, 'the one before is not over');

// A sibling that is not listed: it sends the cookie, reads nothing and changes nothing.
const evil = await context.newPage();
await evil.goto('https://evil.example.org/');
const read = await evil.evaluate((url) => fetch(url, { credentials: 'include' }).then(() => 'read', String), `${latchet}/v1/me`);
assert.equal(read, 'TypeError: Failed to fetch');
const asked = await evil.evaluate((url) => fetch(url, {
  method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json' }, body: '{}',
}).then(() => 'read', String), `${latchet}/v1/refresh`);
assert.equal(asked, 'TypeError: Failed to fetch');
const answered = evil.waitForResponse(`${latchet}/v1/refresh`);
await evil.evaluate((url) => fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors' }), `${latchet}/v1/refresh`);
const answer = await answered;
assert.equal(answer.status(), 403, 'without the cookie it would be 401');
await expire(first);
assert.equal(await me(first), 200);
await first.evaluate(() => window.auth.logout());
await becomes(first, 'signed-out');
assert.deepEqual((await context.cookies()).map(({ name }) => name), ['__Host-latchet_device'],
  'the device stays known');

// Another site, though it is listed.
const elsewhere = await device();
const foreign = await open(elsewhere, 'https://app.example.net');
await login(foreign);
assert.equal(await me(foreign), 200, 'it looks right');
assert.deepEqual(await elsewhere.cookies(), [], 'and nothing is kept');
await expire(foreign);
assert.equal(await foreign.evaluate(() => window.auth.token()), null);
await becomes(foreign, 'signed-out');

// There, and in apps, by the body: the same token twice is the same successor.
const bodies = await foreign.evaluate(async ([url, username, password]) => {
  const post = async (path, body) => {
    const response = await fetch(url + path, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    return response.status === 204 ? 204 : response.json();
  };
  const { refresh_token } = await post('/v1/login', { username, password, transport: 'body' });
  const once = await post('/v1/refresh', { refresh_token });
  const again = await post('/v1/refresh', { refresh_token });
  const over = await post('/v1/logout', { refresh_token: again.refresh_token });
  const { code } = await post('/v1/refresh', { refresh_token: again.refresh_token });
  return { isSame: once.refresh_token === again.refresh_token, isNew: once.refresh_token !== refresh_token, over, code };
}, [latchet, NAME, PASSWORD]);
assert.deepEqual(bodies, { isSame: true, isNew: true, over: 204, code: 'session_revoked' });

assert.deepEqual(faults, []);
await browser.close();
console.log('sites are as they are described');
