// Drives /docs as a person does: authorize, call, reload, call, let the token expire, call, log out.
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const { TOOLS, BROWSER, URL: base, NAME, PASSWORD, PROFILE } = process.env;
const { chromium } = createRequire(`${TOOLS}/`)('playwright-core');

const context = await chromium.launchPersistentContext(PROFILE, {
  executablePath: BROWSER,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
context.setDefaultTimeout(20_000);
const page = context.pages()[0] ?? await context.newPage();
const faults = [];
page.on('pageerror', (error) => faults.push(`page: ${error.message}`));
page.on('console', (message) => {
  // Chromium reports every 4xx of a fetch as an error, and some of ours are meant to be refused.
  if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
    faults.push(`console: ${message.text()}`);
  }
});
page.on('request', (request) => {
  if (!request.url().startsWith(base) && !request.url().startsWith('data:')) faults.push(`foreign: ${request.url()}`);
});

// Opens "Who am I?", sends it, and returns the status that the page shows.
const call = async () => {
  const operation = page.locator('[id$="-me"].opblock').first();
  await operation.waitFor();
  if (!await operation.locator('.opblock-body').isVisible()) await operation.locator('.opblock-summary').click();
  const tryOut = operation.getByRole('button', { name: 'Try it out' });
  const execute = operation.getByRole('button', { name: 'Execute' });
  await tryOut.or(execute).first().waitFor();
  // The page may draw itself again after it has loaded, and forget a click.
  for (const end = Date.now() + 20000; !await execute.isVisible(); await page.waitForTimeout(50)) {
    assert.ok(Date.now() < end, 'no button to send the request');
    if (await tryOut.isVisible()) await tryOut.click();
  }
  const clear = operation.getByRole('button', { name: 'Clear' });
  if (await clear.isVisible()) await clear.click();
  await execute.click();
  const status = operation.locator('.live-responses-table .response .response-col_status').first();
  await status.waitFor();
  return (await status.innerText()).trim().slice(0, 3);
};

const stored = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));

await page.goto(`${base}/docs`);
assert.equal(await call(), '401', 'before signing in');

await page.locator('.btn.authorize').first().click();
await page.locator('#oauth_username').fill(NAME);
await page.locator('#oauth_password').fill('not the password, though long');
await page.locator('.btn.modal-btn.auth.authorize').click();
await page.getByRole('alert').filter({ hasText: 'wrong' }).waitFor();
await page.locator('#oauth_password').fill(PASSWORD);
await page.locator('.btn.modal-btn.auth.authorize').click();
await page.getByRole('button', { name: 'End this session' }).waitFor();
await page.locator('.btn-done').click();
assert.equal(await call(), '200', 'after signing in');
assert.equal(await stored(), '[{},{}]', 'nothing is stored by the page');

await page.reload();
await page.locator('.btn.authorize.locked').first().waitFor();
assert.equal(await call(), '200', 'after a reload');

// The access token dies after 30 s by the page's clock; the next call refreshes by cookie first.
const refreshed = page.waitForResponse((response) => response.url().endsWith('/v1/refresh') && response.ok());
await page.evaluate(() => {
  const now = Date.now;
  Date.now = () => now() + 60_000;
});
assert.equal(await call(), '200', 'after the access token expired');
await refreshed;

const session = (await context.cookies()).find((cookie) => cookie.name.endsWith('latchet_rt'));
assert.equal(session?.httpOnly, true, 'no script can read the refresh token');
await page.locator('.btn.authorize').first().click();
await page.getByRole('button', { name: 'End this session' }).click();
await page.locator('#oauth_username').waitFor();
await page.locator('.btn-done').click();
assert.equal(await call(), '401', 'after logging out');
assert.equal(await stored(), '[{},{}]', 'nothing is stored by the page');
assert.deepEqual((await context.cookies()).map((cookie) => cookie.name), ['latchet_device'], 'no cookie of the session is left');
assert.deepEqual(faults, []);
await context.close();
console.log('the page keeps its promises');
