// A page of somebody else, open beside that of the victim: on another port of the same host, to which the
// browser sends the victim's cookies, and under other names, to which it does not.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { app, openNetwork } from './network.mjs';
import { becomes, expire, login, me, openBrowser, refreshCookie } from './pages.mjs';

/** Documents that say the same to everybody. */
const PUBLIC = [
  '/client/latchet.js', '/.well-known/jwks.json', '/.well-known/oauth-authorization-server', '/openapi.json', '/openapi.yaml',
];

const { URL: target, NAME, PASSWORD } = process.env;
const network = await openNetwork(target, app);
const { base } = network;
const { browser, context, faults } = await openBrowser();
await context.exposeBinding('tell', () => {});

const site = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<!doctype html>'));
await new Promise((resolve) => { site.listen(0, '127.0.0.1', resolve); });
const { port } = site.address();

const UNSAFE = ['/v1/login', '/v1/refresh', '/v1/logout', '/v1/logout/all', '/v1/me/password', '/oauth/token'];
const CREDENTIALS = { username: NAME, password: PASSWORD, transport: 'cookie' };

const victim = await context.newPage();
await victim.goto(`${base}/app`);
await login(victim, NAME, PASSWORD);
await becomes(victim, 'signed-in');
const sid = await victim.evaluate(() => window.auth.state().sessionId);
const token = await refreshCookie(context);

/** Sends forms, as they are and such that the body is JSON, to each path. */
const sendForms = async (page) => {
  const pairs = {
    'application/x-www-form-urlencoded': Object.entries(CREDENTIALS),
    'multipart/form-data': Object.entries(CREDENTIALS),
    // `{"username":"…","x":"="}`
    'text/plain': [[`${JSON.stringify(CREDENTIALS).slice(0, -1)},"x":"`, '"}']],
  };
  for (const path of UNSAFE) {
    for (const [enctype, fields] of Object.entries(pairs)) {
      const answered = network.over(path);
      await page.evaluate((form) => {
        const frame = document.body.appendChild(document.createElement('iframe'));
        frame.name = form.enctype + form.action;
        const { fields: inputs, ...rest } = form;
        const element = document.body.appendChild(document.createElement('form'));
        Object.assign(element, rest, { method: 'post', target: frame.name });
        for (const [name, value] of inputs) {
          element.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
        }
        element.submit();
      }, { action: base + path, enctype, fields });
      await answered;
    }
  }
};

/** Calls each path in each mode; returns what could be read. */
const callAll = (page) => page.evaluate(async ([server, paths, credentials]) => {
  const csrf = document.cookie.match(/latchet_csrf=([^;]+)/)?.[1] ?? 'x.y';
  const body = JSON.stringify(credentials);
  const read = [];
  for (const path of [...paths, '/v1/me', '/v1/me/sessions', '/v1/verify', '/v1/users']) {
    for (const method of ['GET', 'POST']) {
      for (const [mode, headers] of [
        ['no-cors', { 'Content-Type': 'text/plain' }],
        ['cors', { 'Content-Type': 'text/plain' }],
        ['cors', { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf, 'Idempotency-Key': 'key-of-the-attacker' }],
        ['same-origin', {}],
        ['navigate', {}],
      ]) {
        try {
          const answer = await fetch(server + path, {
            method, mode, headers, credentials: 'include', ...(method === 'POST' && { body }),
          });
          if (answer.type !== 'opaque' || await answer.text()) read.push([method, mode, path, answer.status]);
        } catch { /* As it should be. */ }
      }
    }
    navigator.sendBeacon(server + path, body);
  }
  return read;
}, [base, UNSAFE, CREDENTIALS]);

/** Loads each path as what a page may load from anywhere; returns what of it could be used. */
const embedAll = (page) => page.evaluate(async ([server, paths]) => {
  const used = [];
  for (const path of [...paths, '/v1/me', '/docs', '/setup', '/openapi.json']) {
    for (const kind of ['img', 'script', 'link']) {
      const before = Object.keys(window).length;
      const element = document.createElement(kind);
      const over = new Promise((resolve) => { element.onload = element.onerror = ({ type }) => resolve(type); });
      if (kind === 'link') element.rel = 'stylesheet';
      element[kind === 'link' ? 'href' : 'src'] = server + path;
      document.body.append(element);
      const type = await over;
      if (kind === 'img' && type === 'load') used.push([kind, path]);
      if (Object.keys(window).length !== before) used.push([kind, path, 'made globals']);
    }
  }
  return used;
}, [base, UNSAFE]);

/** Puts the server's pages into frames; returns which of them are shown. */
const frameAll = async (page) => {
  for (const path of ['/setup', '/docs', '/app', '/v1/me']) {
    await page.evaluate((url) => new Promise((resolve) => {
      const frame = document.body.appendChild(document.createElement('iframe'));
      frame.onload = resolve;
      frame.src = url;
    }), base + path);
  }
  return page.frames().map((frame) => frame.url()).filter((url) => url.startsWith(`${base}/`));
};

/** Uses the client that the server serves; returns the token that it has. */
const useClient = (page) => page.evaluate(async (url) => {
  const { createAuth } = await import(`${url}/client/latchet.js`);
  const auth = createAuth({ baseUrl: url });
  const token = await auth.token().catch(({ code }) => code);
  await auth.logout().catch(() => {});
  return token;
}, base);

for (const host of ['127.0.0.1', 'localhost', 'attacker.test']) {
  network.seen.length = 0;
  const page = await context.newPage();
  await page.goto(`http://${host}:${port}/`);

  await sendForms(page);
  assert.deepEqual(await callAll(page), [], `${host}: nothing can be read`);
  assert.deepEqual(await embedAll(page), [], `${host}: nothing can be embedded`);
  assert.deepEqual(await frameAll(page), [], `${host}: nothing can be framed`);
  assert.ok([null, 'network'].includes(await useClient(page)), `${host}: the client has no token for it`);
  const readable = await page.evaluate(() => document.cookie);
  assert.ok(!readable.includes('latchet_rt'), `${host}: the refresh token is in no cookie that it reads`);
  await page.close();

  const unsafe = network.seen.filter(({ method, path }) => method === 'POST' && UNSAFE.includes(path));
  for (const path of UNSAFE) assert.ok(unsafe.some((entry) => entry.path === path), `${host}: ${path} was attacked`);
  const hasCookie = unsafe.some(({ cookie }) => cookie.includes(token.value));
  assert.equal(hasCookie, host === '127.0.0.1', `${host}: cookies know no ports, but sites`);
  assert.deepEqual(unsafe.filter(({ status }) => status < 400), [], `${host}: nothing was done`);
  const shared = network.seen.filter(({ allows, path }) => allows && !(allows === '*' && PUBLIC.includes(path)));
  assert.deepEqual(shared, [], `${host}: no answer is for other origins`);

  assert.equal((await refreshCookie(context)).value, token.value, `${host}: the browser holds what it held`);
  const devices = await victim.evaluate(() => window.auth.sessions());
  assert.deepEqual(devices.map(({ id, current }) => [id, current]), [[sid, true]], `${host}: the same session`);
}

// Had anybody rotated the token, its owner would be taken for a thief now.
await expire(victim);
assert.equal(await me(victim), 200);
assert.equal(await victim.evaluate(() => window.auth.state().sessionId), sid, 'still the same session');
assert.notEqual((await refreshCookie(context)).value, token.value);

assert.deepEqual(faults, [], 'no errors, and nothing against a policy');
await browser.close();
site.close();
site.closeAllConnections();
network.close();
console.log('nothing was achieved');
