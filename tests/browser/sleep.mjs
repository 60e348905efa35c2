// Laptops that sleep while the response to a refresh arrives. The server has no grace period, as if it had
// passed overnight: a retry counts as theft, unless it has the same key.
import assert from 'node:assert/strict';
import { NOTHING, app, openNetwork } from './network.mjs';
import { EMPTY_BUT_CSRF, becomes, login, openBrowser, stored, works } from './pages.mjs';

const NIGHT_MS = 8 * 3_600_000;

const { URL: target, NAME, PASSWORD } = process.env;
const network = await openNetwork(target, app);
const { browser, context, faults } = await openBrowser();
const states = [];
await context.exposeBinding('tell', (_, status) => { states.push(status); });

const open = async () => {
  const page = await context.newPage();
  await page.goto(`${network.base}/app`);
  const debug = await context.newCDPSession(page);
  return { page, debug };
};
const session = (page) => page.evaluate(() => window.auth.state().sessionId);
const refreshes = () => network.at('/v1/refresh');
const loseNext = () => network.once('/v1/refresh', async () => NOTHING);

/** Puts tabs to sleep for a night, in which the monotonic clock stands still. */
const sleep = async (tabs) => {
  for (const { page, debug } of tabs) {
    await page.evaluate((night) => {
      const now = Date.now;
      Date.now = () => now() + night;
    }, NIGHT_MS);
    await debug.send('Page.setWebLifecycleState', { state: 'frozen' });
  }
  for (const { debug } of tabs) await debug.send('Page.setWebLifecycleState', { state: 'active' });
};
/** The person looks at a tab again. */
const look = ({ page }) => page.evaluate(() => { window.dispatchEvent(new Event('focus')); });

const first = await open();
await login(first.page, NAME, PASSWORD);
await becomes(first.page, 'signed-in');
states.length = 0;
const sid = await session(first.page);
const tabs = [await open(), await open(), await open(), await open()];
const recover = async () => {
  for (const tab of tabs) {
    await works(tab.page);
    assert.equal(await session(tab.page), sid, 'it is still the one session');
    assert.equal(await stored(tab.page), EMPTY_BUT_CSRF, 'nothing is stored');
  }
  assert.deepEqual(states.filter((status) => status === 'signed-out'), [], 'nobody was signed out');
  assert.deepEqual(network.seen.filter(({ status }) => status === 401), [], 'nothing was refused');
};
for (const { page } of tabs) await becomes(page, 'signed-in');

// The tab that sent the refresh is closed while the response is lost; another tab retries in the morning.
loseNext();
let over = network.over('/v1/refresh');
await sleep([first]);
await look(first);
await over;
await first.page.close();
await sleep(tabs);
await look(tabs[0]);
await recover();
assert.equal(refreshes()[0].fate, NOTHING);
assert.equal(refreshes()[1].key, refreshes()[0].key, 'it was the same refresh');

// The same tab retries, and the others wake with it.
loseNext();
over = network.over('/v1/refresh');
await sleep(tabs);
await look(tabs[0]);
await over;
await sleep(tabs);
await Promise.all(tabs.map(look));
await recover();

// All wake at once, and the first of them loses the answer.
loseNext();
await sleep(tabs);
await Promise.all(tabs.map(look));
await recover();

// A thief has the cookies, and no key.
loseNext();
over = network.over('/v1/refresh');
const stolen = await context.cookies();
await sleep(tabs);
await look(tabs[0]);
await over;
const theft = await fetch(`${target}/v1/refresh`, {
  method: 'POST',
  body: '{}',
  headers: {
    'Content-Type': 'application/json',
    'X-CSRF-Token': stolen.find(({ name }) => name.endsWith('csrf')).value,
    'Idempotency-Key': 'some-key-of-a-thief',
    Cookie: stolen.map(({ name, value }) => `${name}=${value}`).join('; '),
  },
});
assert.deepEqual([theft.status, (await theft.json()).code], [401, 'refresh_reused']);
for (const { page } of tabs) await becomes(page, 'signed-out');

assert.deepEqual(faults, [], 'no errors, and nothing against a policy');
await browser.close();
network.close();
console.log('nobody was signed out over night');
