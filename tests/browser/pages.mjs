// What the scripts share: a browser, and pages that keep themselves signed in.
import { launch } from './launch.mjs';

/** Opens a browser. `faults` becomes what its pages did wrong: errors, and what their policies refused. */
export const openBrowser = async () => {
  // A name of another site for this machine.
  const browser = await launch('--host-resolver-rules=MAP attacker.test 127.0.0.1');
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  const faults = [];
  context.on('weberror', (thrown) => faults.push(String(thrown.error())));
  await context.exposeBinding('blamePolicy', (_, text) => { faults.push(text); });
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (event) =>
    window.blamePolicy(`${event.documentURI}: ${event.effectiveDirective} refused ${event.blockedURI}`)));
  return { browser, context, faults };
};

/** Starts the client in a page of the server's origin. */
export const start = async () => {
  const { createAuth } = await import('/client/latchet.js');
  window.auth = createAuth({ baseUrl: '/' });
};

export const login = (page, username, password) =>
  page.evaluate((credentials) => window.auth.login(credentials), { username, password, label: 'tab' });

export const becomes = (page, status) => page.waitForFunction((wanted) => window.auth?.state().status === wanted, status);

/** Returns the status of a call. */
export const me = (page) => page.evaluate(async () => (await window.auth.fetch('/v1/me')).status);

/** Waits until calls succeed again. While the pause after a failure lasts they are rejected. */
export const works = (page) => page.waitForFunction(async () => (await window.auth?.fetch('/v1/me').catch(() => null))?.status === 200);

/** Moves all clocks of a page that a token's life is counted by. */
export const expire = (page) => page.evaluate(() => {
  const now = performance.now.bind(performance);
  performance.now = () => now() + 3_600_000;
});

/** Returns all that a page can store or read; the CSRF value, which is no token, is left out. */
export const stored = (page) => page.evaluate(async () => JSON.stringify([
  { ...localStorage }, { ...sessionStorage }, await indexedDB.databases(), await caches.keys(),
  document.cookie.replace(/latchet_csrf=[\w.-]+/, 'csrf'),
]));
export const EMPTY = '[{},{},[],[],""]';
export const EMPTY_BUT_CSRF = '[{},{},[],[],"csrf"]';

/** Returns the names of all cookies of sessions; the proof of a known device outlives them. */
export const cookies = async (context) =>
  (await context.cookies()).map(({ name }) => name).filter((name) => !name.endsWith('latchet_device')).sort();

/** Returns the cookie that holds the refresh token. */
export const refreshCookie = async (context) =>
  (await context.cookies()).find(({ name }) => name.endsWith('latchet_rt'));
