// What the tests of pages share: a browser that watches for faults, and looks at each state of a page.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { launch } from './launch.mjs';

const { TOOLS, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(`${TOOLS}/`).resolve('axe-core/axe.min.js'), 'utf8');

export const { URL: base, NAME, PASSWORD, SETUP_LINK } = process.env;
const WIDTHS = [320, 768, 1280];
const SCHEMES = ['light', 'dark'];
// How an attacker would write a name.
export const HOSTILE = '<img/src=x/onerror=alert(1)>';

const browser = await launch();

/** Errors of all pages so far; stays empty. */
const faults = [];

/** Opens a person's browser: cookies of its own, and everything it says against a page is kept. */
export const open = async (options = {}) => {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(20_000);
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      console.error(`violation: ${violatedDirective} ${blockedURI}`));
  });
  context.on('weberror', (error) => faults.push(`page: ${error.error().message}`));
  context.on('console', (message) => {
    // Chromium reports every 4xx of a fetch as an error, and some of ours are meant to be refused.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      faults.push(`console: ${message.text()}`);
    }
  });
  context.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  context.on('request', (request) => {
    if (!request.url().startsWith(base)) faults.push(`foreign: ${request.url()}`);
  });
  return context;
};

/**
 * Looks at a state of a page, in both colour schemes, narrow and wide: nothing for axe to find, nothing
 * to scroll sideways. Writes pictures where SCREENSHOTS names a folder.
 */
export const look = async (page, name) => {
  await page.evaluate(axe);
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      if (width === 768 && !SCREENSHOTS) continue;
      await page.setViewportSize({ width, height: 800 });
      const [found, sideways] = await page.evaluate(async () => [
        (await axe.run()).violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]),
        document.documentElement.scrollWidth - innerWidth,
      ]);
      assert.deepEqual(found, [], `axe finds something in ${name}, ${width} px, ${colorScheme}`);
      assert.ok(sideways <= 0, `${name} scrolls sideways at ${width} px, by ${sideways}`);
      if (!SCREENSHOTS) continue;
      mkdirSync(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
};

/** Returns what has the focus: its id, or else its text. */
export const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);

/** Waits until something has the focus that is said so. */
export const focuses = (page, wanted) => page.waitForFunction(
  (name) => [document.activeElement.id, document.activeElement.textContent].includes(name), wanted);

/** Waits until a page says something about what was done. */
export const says = (page, text) => page.locator('#status').filter({ hasText: text }).waitFor();

/** Returns the rows of a table as texts, once there are as many as are wanted. */
export const rows = async (page, section, count) => {
  const found = page.locator(`#${section} > table tbody tr`);
  await page.waitForFunction(
    ([id, wanted]) => document.querySelectorAll(`#${id} > table tbody tr`).length === wanted, [section, count]);
  return Promise.all((await found.all()).map((row) => row.innerText()));
};

/** Signs in by the form that the page shows. */
export const signIn = async (page, name = NAME, password = PASSWORD) => {
  const form = page.locator('#sign-in');
  await form.getByLabel('User name').fill(name);
  await form.getByLabel('Password', { exact: true }).fill(password);
  await form.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#signed-in').waitFor();
};

/** Says yes in the dialog that asks. */
export const confirm = async (page, question) => {
  const dialog = page.getByRole('dialog', { name: question });
  await dialog.locator('.danger').click();
  await dialog.waitFor({ state: 'hidden' });
};

/** Speaks to the server as a program does: another device of somebody. */
export const program = async (name, password, label, agent = 'program/1.0') => {
  const call = async (method, path, body, token) => {
    const headers = { 'Content-Type': 'application/json', 'User-Agent': agent, ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
    return [answer.status, await answer.json().catch(() => null)];
  };
  const [status, login] = await call('POST', '/v1/login', { username: name, password, label });
  return { status, call: (method, path, body) => call(method, path, body, login.access_token) };
};

/** Ends a test: no page had a fault. */
export const finish = async (text) => {
  assert.deepEqual(faults, []);
  await browser.close();
  console.log(text);
};
