// Tabs that reload while the network is slow and loses a quarter of the answers, and a logout. Whatever
// happens, nobody is signed out but by the logout, and that reaches every tab.
import assert from 'node:assert/strict';
import { HALF, NOTHING, WHOLE, app, deferred, openNetwork } from './network.mjs';
import {
  EMPTY, EMPTY_BUT_CSRF, becomes, cookies, expire, login, me, openBrowser, refreshCookie, stored, works,
} from './pages.mjs';

const { URL: target, NAME, PASSWORD } = process.env;
const network = await openNetwork(target, app);
const { browser, context, faults } = await openBrowser();
const states = [];
await context.exposeBinding('tell', (_, status) => { states.push(status); });

const open = async () => {
  const page = await context.newPage();
  await page.goto(`${network.base}/app`);
  return page;
};
const session = (page) => page.evaluate(() => window.auth.state().sessionId);
const refreshes = () => network.at('/v1/refresh');
const lost = () => refreshes().filter(({ fate }) => fate === HALF || fate === NOTHING).length;

/** The network is well again: all is as if nothing had happened. */
const recover = async (tabs, sid) => {
  network.calm();
  for (const tab of tabs) {
    await becomes(tab, 'signed-in');
    await works(tab);
    assert.equal(await session(tab), sid, 'it is still the one session');
    assert.deepEqual(await Promise.all([1, 2, 3, 4, 5].map(() => me(tab))), Array(5).fill(200));
    assert.equal(await stored(tab), EMPTY_BUT_CSRF, 'nothing is stored');
  }
  assert.deepEqual(states.filter((status) => status === 'signed-out'), [], 'nobody was signed out');
  assert.deepEqual(network.seen.filter(({ status }) => status === 401), [], 'nothing was refused');
};

const first = await open();
await login(first, NAME, PASSWORD);
await becomes(first, 'signed-in');
states.length = 0;
const sid = await session(first);
assert.equal((await refreshCookie(context)).httpOnly, true, 'no script can read the refresh token');
const tabs = [first, await open(), await open(), await open(), await open()];
await recover(tabs, sid);

// Five tabs reload at once.
network.storm(20_000_060);
for (let round = 0; round < 4; round += 1) {
  await Promise.all(tabs.map((tab) => tab.reload()));
  // These may fail while the network does.
  await Promise.all(tabs.map((tab) => me(tab).catch(() => {})));
}
await recover(tabs, sid);
assert.ok(lost() > 0, 'answers were lost');

// All at once find that their token has expired.
network.storm(24_000_072);
await Promise.all(tabs.map(expire));
await Promise.all(tabs.map((tab) => me(tab).catch(() => {})));
await recover(tabs, sid);

// One tab, which nobody hands a token, reloads fast: at once, while it is being answered, and after that.
for (const tab of tabs.splice(1)) await tab.close();
network.storm(265_000_795);
const before = { asked: refreshes().length, lost: lost() };
for (let reload = 0; reload < 30; reload += 1) {
  const waits = [() => {}, network.answered, network.over][reload % 3]('/v1/refresh');
  const begun = first.waitForEvent('framenavigated');
  await first.evaluate(() => window.location.reload());
  await begun;
  await waits;
}
assert.ok(refreshes().length - before.asked >= 20, 'it asked each time that it lived long enough');
assert.ok(lost() - before.lost >= 4, 'answers were lost');
await recover(tabs, sid);

// A logout in one tab reaches the others without a request of theirs.
tabs.push(await open(), await open());
await recover(tabs, sid);
network.seen.length = 0;
await first.evaluate(() => window.auth.logout());
for (const tab of tabs) await becomes(tab, 'signed-out');
assert.deepEqual(network.seen.map(({ path, status }) => [path, status]), [['/v1/logout', 204]]);
assert.deepEqual(await cookies(context), [], 'no cookie is left');

// One that overtakes the answer to a refresh: the cookies that this sets go again.
await login(first, NAME, PASSWORD);
for (const tab of tabs) await becomes(tab, 'signed-in');
const late = deferred();
network.once('/v1/refresh', () => late.promise);
const answered = network.answered('/v1/refresh');
await expire(tabs[1]);
const token = tabs[1].evaluate(() => window.auth.token());
await answered;
await first.evaluate(() => window.auth.logout());
for (const tab of tabs) await becomes(tab, 'signed-out');
assert.deepEqual(await cookies(context), [], 'no cookie is left');
const cleared = tabs[1].waitForResponse((response) => response.url().endsWith('/v1/logout'));
late.resolve(WHOLE);
assert.equal(await token, null, 'a token that comes after the logout is discarded');
assert.equal((await cleared).status(), 204);
assert.deepEqual(await cookies(context), [], 'no cookie comes back');
for (const tab of tabs) {
  assert.equal(await me(tab), 401);
  assert.equal(await stored(tab), EMPTY, 'nothing is stored');
}

// The server's own pages keep to their policy too.
for (const path of ['/docs', '/setup']) await first.goto(network.base + path, { waitUntil: 'networkidle' });
assert.deepEqual(faults, [], 'no errors, and nothing against a policy');
await browser.close();
network.close();
console.log('nobody was signed out but who logged out');
