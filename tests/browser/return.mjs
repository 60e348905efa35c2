// /account with an address to return to: after the sign-in the browser goes there, if the operator allows it.
import { createServer } from 'node:http';
import assert from 'node:assert/strict';
import { launch } from './launch.mjs';

const { URL: base, NAME, PASSWORD, SITE } = process.env;

/** Requests to the other site, which the operator allows. */
const visits = [];
const site = createServer((request, response) => {
  visits.push(request.url);
  response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>the site</title>');
});
await new Promise((resolve) => { site.listen(new URL(SITE).port, '127.0.0.1', resolve); });

const browser = await launch();
const faults = [];

/** Opens the account page in a new browser, with this address to return to. */
const open = async (returnTo) => {
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  context.on('weberror', (error) => faults.push(error.error().message));
  context.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith(SITE)) faults.push(`foreign: ${url}`);
  });
  const page = await context.newPage();
  const response = await page.goto(`${base}/account?return_to=${encodeURIComponent(returnTo)}`);
  return { page, response };
};

const signIn = async (page) => {
  await page.locator('#username').fill(NAME);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
};

// A page of this server, as a path and as a URL.
for (const address of ['/admin', `${base}/admin?from=link#users`]) {
  const { page } = await open(address);
  await signIn(page);
  await page.waitForURL(new URL(address, base).href);
  await page.locator('#signed-in').waitFor();
}

// A site that the operator allows, with everything in its address.
const { page } = await open(`${SITE}/things?page=2&all#end`);
await signIn(page);
await page.waitForURL(`${SITE}/things?page=2&all#end`);
assert.deepEqual(visits.filter((url) => url !== '/favicon.ico'), ['/things?page=2&all']);

// A wrong password leads nowhere.
const wrong = (await open(`${SITE}/wrong`)).page;
await wrong.locator('#username').fill(NAME);
await wrong.getByLabel('Password', { exact: true }).fill('not the password, though long');
await wrong.getByRole('button', { name: 'Sign in' }).click();
await wrong.locator('#password-error').filter({ hasText: 'is wrong' }).waitFor();
assert.equal(new URL(wrong.url()).pathname, '/account');

// Signed in already: the user decides, so that a site that refuses the user again makes no circle.
await page.goto(`${base}/account?return_to=${encodeURIComponent(`${SITE}/again`)}`);
const link = page.getByRole('link', { name: `${SITE}/again` });
await link.waitFor();
assert.ok(!visits.includes('/again'));
await link.click();
await page.waitForURL(`${SITE}/again`);

// Without an address the page is as always.
await page.goto(`${base}/account`);
await page.locator('#devices tbody tr').first().waitFor();
assert.equal(await page.locator('#continue').isVisible(), false);

// Any other address: an error that people understand, no form, and no way there.
const before = visits.length;
for (const address of [
  'https://evil.example/', '//evil.example', '/\\evil.example', '/\t/evil.example', 'javascript:alert(1)',
  `${SITE}.evil.example/`, `${base}@evil.example/`, 'admin', '',
]) {
  const refused = await open(address);
  assert.equal(refused.response.status(), 400, address);
  await refused.page.getByRole('heading', { name: 'This link leads to an unknown address' }).waitFor();
  assert.equal(await refused.page.locator('form').count(), 0);
  assert.ok(!(await refused.page.content()).includes('evil'), 'nothing of the link is on the page');
  assert.equal(new URL(refused.page.url()).pathname, '/account');
}
assert.equal(visits.length, before);
const twice = await page.goto(`${base}/account?return_to=/admin&return_to=https://evil.example/`);
assert.equal(twice.status(), 400);
await page.getByRole('link', { name: 'Sign in here, and stay on this site' }).click();
await page.waitForURL(`${base}/account`);

assert.deepEqual(faults, []);
await browser.close();
site.close();
site.closeAllConnections();
console.log('the sign-in returns to allowed addresses only');
