// Pages of a server whose cookies have another prefix: signed in after a reload, and signed out.
import assert from 'node:assert/strict';
import { base, finish, open, signIn } from './page_kit.mjs';

const context = await open();
const page = await context.newPage();
const names = async () => (await context.cookies()).map(({ name }) => name).sort();

await page.goto(`${base}/account`);
await signIn(page);
assert.deepEqual(await names(), ['shop-1_csrf', 'shop-1_device', 'shop-1_rt']);
await page.reload();
await page.locator('#signed-in').waitFor();

// Swagger UI finds the session as well.
const refreshed = page.waitForResponse((response) => response.url().endsWith('/v1/refresh') && response.ok());
await page.goto(`${base}/docs`);
await refreshed;

await page.goto(`${base}/account`);
await page.locator('#sign-out').click();
await page.locator('#sign-in').waitFor();
assert.deepEqual(await names(), ['shop-1_device']);
await finish('the prefix is known everywhere');
