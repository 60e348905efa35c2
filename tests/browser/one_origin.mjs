// One origin for page, API and Latchet, behind a proxy: log in, reload, expire, log out.
import assert from 'node:assert/strict';
import { launch } from './launch.mjs';

const { URL: base, NAME, PASSWORD, SCRIPT, RULES } = process.env;
const browser = await launch(`--host-resolver-rules=${RULES}`, '--ignore-certificate-errors');
const context = await browser.newContext();
context.setDefaultTimeout(20_000);
const page = await context.newPage();
const faults = [];
page.on('pageerror', (error) => faults.push(error.message));
const refreshes = [];
page.on('request', (request) => {
  if (request.url().endsWith('/v1/refresh')) refreshes.push(request);
});

const start = async (path) => {
  await page.goto(base + path);
  await page.addScriptTag({ type: 'module', content: `${SCRIPT}\nwindow.auth = auth;` });
  await page.waitForFunction(() => window.auth);
};
const becomes = (status) => page.waitForFunction((wanted) => window.auth.state().status === wanted, status);
const cookies = async () => Object.fromEntries((await context.cookies()).map((cookie) => [cookie.name, cookie]));

await start('/');
assert.equal(await page.title(), 'the page');
await becomes('signed-out');
await page.evaluate(([username, password]) => window.auth.login({ username, password }), [NAME, PASSWORD]);
await becomes('signed-in');

const {
  '__Host-latchet_rt': refresh, '__Host-latchet_csrf': csrf, '__Host-latchet_device': device, ...more
} = await cookies();
for (const cookie of [refresh, csrf, device]) {
  assert.equal(cookie.domain, 'app.example.org');
  assert.equal(cookie.secure, true);
  assert.equal(cookie.sameSite, 'Strict');
}
assert.deepEqual([refresh.httpOnly, csrf.httpOnly, device.httpOnly], [true, false, true]);
assert.deepEqual(more, {});

// The API has the token and its own paths; what is nobody's is a view of the page.
const order = await page.evaluate(async () => (await window.auth.fetch('/api/orders')).json());
assert.equal(order.path, '/api/orders');
assert.match(order.headers.authorization, /^Bearer eyJ/);
const types = await page.evaluate(async () => {
  const paths = ['/.well-known/jwks.json', '/.well-known/oauth-authorization-server', '/.well-known/acme', '/v1/me'];
  return Promise.all(paths.map(async (path) => (await fetch(path)).headers.get('Content-Type').split(/[/;]/)[1]));
});
assert.deepEqual(types, ['json', 'json', 'html', 'problem+json']);

// Nobody who comes through the proxy chooses the address that they are counted as.
const addresses = await page.evaluate(async ([username, password]) => {
  await fetch('/v1/login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': '203.0.113.2' },
    body: JSON.stringify({ username, password, label: 'liar' }),
  });
  return (await window.auth.sessions()).map(({ label, ip }) => [label, ip]).sort();
}, [NAME, PASSWORD]);
assert.deepEqual(addresses, [['', '127.0.0.1'], ['liar', '127.0.0.1'], ['past', '203.0.113.1']]);

await start('/orders/7');
assert.equal(await page.title(), 'the page');
await becomes('signed-in');

await page.evaluate(() => {
  const now = performance.now.bind(performance);
  performance.now = () => now() + 3_600_000;
});
refreshes.length = 0;
const statuses = await page.evaluate(() => Promise.all(
  [1, 2, 3, 4, 5].map(async (number) => (await window.auth.fetch(`/api/${number}`, { method: 'POST' })).status),
));
assert.deepEqual(statuses, [200, 200, 200, 200, 200]);
assert.equal(refreshes.length, 1, 'five requests, one refresh');

const token = await page.evaluate(() => window.auth.token());
await page.evaluate(() => window.auth.logout());
assert.deepEqual(Object.keys(await cookies()), ['__Host-latchet_device']);
const refused = await page.evaluate(async (shown) =>
  (await (await fetch('/v1/me', { headers: { Authorization: `Bearer ${shown}` } })).json()).code, token);
assert.equal(refused, 'token_revoked');
await start('/');
await becomes('signed-out');

assert.deepEqual(faults, []);
await browser.close();
console.log('one origin keeps its promises');
