// Each recipe as a program of its own, in front of the real Latchet; and the pages that print recipes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Latchet, end, freePort, until } from '../../../clients/node/tests/server.mjs';

const FOLDER = import.meta.dirname;
const ROOT = join(FOLDER, '../../..');
const BY_VERIFY = ['express-verify.mjs', 'express.mjs', 'fastify.mjs', 'hono.mjs'];
const BY_PACKAGE = BY_VERIFY.slice(1);

const latchet = {};
before(async () => { latchet.server = await Latchet.start(); });
after(() => latchet.server.remove());

/** Starts a recipe and waits until it responds. The test ends it. */
const start = async (t, recipe) => {
  const port = await freePort();
  const env = { PATH: process.env.PATH, ISSUER: latchet.server.url, PORT: String(port) };
  const child = spawn(process.execPath, [join(FOLDER, recipe)], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => end(child));
  let printed = '';
  child.stderr.on('data', (text) => { printed += text; });
  const url = `http://127.0.0.1:${port}`;
  await until(recipe, () => {
    assert(child.exitCode === null, `${recipe} ended: ${printed}`);
    return fetch(url).then(() => true, () => false);
  });
  return url;
};

const ask = async (url, token, { path = '/hello', method = 'GET' } = {}) => {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(url + path, { method, headers });
  const body = await response.json();
  if (response.ok) return { status: response.status, body };
  assert.match(response.headers.get('Content-Type'), /^application\/problem\+json/);
  assert.equal(body.status, response.status);
  assert.equal(response.headers.has('WWW-Authenticate'), response.status !== 503);
  assert.equal(response.headers.has('Retry-After'), response.status === 503);
  return { status: response.status, code: body.code, challenge: response.headers.get('WWW-Authenticate') };
};

const login = async (username) => (await latchet.server.login(username)).access_token;

for (const recipe of BY_VERIFY) {
  test(`${recipe}: 401, 200, 401 after the logout, 503 without Latchet`, async (t) => {
    const url = await start(t, recipe);
    const [token, other] = [await login('alice'), await login('alice')];

    const missing = await ask(url);
    assert.deepEqual([missing.status, missing.code, missing.challenge], [401, 'missing_token', 'Bearer realm="latchet"']);
    assert.deepEqual((({ status, code }) => [status, code])(await ask(url, 'a.b.c')), [401, 'malformed_token']);
    assert.deepEqual(await ask(url, token), { status: 200, body: { hello: 'alice' } });

    await latchet.server.logout(token);
    const refused = recipe === 'express-verify.mjs'
      ? await ask(url, token)
      // The cache may admit for up to a second.
      : await until('the end of the cached answer', async () => {
        const answer = await ask(url, token);
        return answer.status !== 200 && answer;
      });
    assert.deepEqual([refused.status, refused.code], [401, 'token_revoked']);
    assert.match(refused.challenge, /^Bearer error="invalid_token"/);

    await latchet.server.stop();
    const away = await ask(url, other).finally(() => latchet.server.resume());
    assert.deepEqual([away.status, away.code], [503, 'unavailable']);
    assert.deepEqual(await ask(url, other), { status: 200, body: { hello: 'alice' } });
  });
}

for (const recipe of BY_PACKAGE) {
  test(`${recipe}: administrators alone may delete`, async (t) => {
    const url = await start(t, recipe);
    const deletion = { path: '/notes', method: 'DELETE' };

    const refused = await ask(url, await login('alice'), deletion);
    assert.deepEqual([refused.status, refused.code], [403, 'insufficient_scope']);
    assert.equal((await ask(url, await login('admin'), deletion)).status, 200);
  });
}

test('jwks.mjs: 401, 200, and 200 after the logout until the token expires; 503 without keys', async (t) => {
  const url = await start(t, 'jwks.mjs');
  const token = await login('alice');

  const missing = await ask(url);
  assert.deepEqual([missing.status, missing.code], [401, 'missing_token']);
  for (const wrong of ['a.b.c', `${token.slice(0, -4)}AAAA`]) {
    const refused = await ask(url, wrong);
    assert.deepEqual([refused.status, refused.code], [401, 'invalid_token']);
  }
  assert.deepEqual(await ask(url, token), { status: 200, body: { hello: 'alice' } });

  await latchet.server.logout(token);
  assert.equal((await ask(url, token)).status, 200, 'the page says so: a logout takes effect at the expiry');

  await latchet.server.stop();
  const [known, unknown] = await (async () => [
    await ask(url, token), await ask(await start(t, 'jwks.mjs'), token),
  ])().finally(() => latchet.server.resume());
  assert.equal(known.status, 200);
  assert.deepEqual([unknown.status, unknown.code], [503, 'unavailable']);
});

/** Returns the snippets of a page in this language. */
const snippets = (page, language) => {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code]) => code);
};

test('the pages print recipes that are run here', () => {
  const recipes = readdirSync(FOLDER).filter((name) => /^[\w-]+\.mjs$/.test(name));
  assert.deepEqual(recipes.sort(), [...BY_VERIFY, 'jwks.mjs'].sort());
  const texts = new Map(recipes.map((name) => [readFileSync(join(FOLDER, name), 'utf8'), name]));
  for (const [page, expected] of [
    ['docs/how-to/protect-an-api.md', ['express-verify.mjs', 'express.mjs', 'jwks.mjs']],
    ['clients/node/README.md', ['express.mjs', 'fastify.mjs', 'hono.mjs']],
  ]) {
    assert(existsSync(join(ROOT, page)), page);
    const printed = snippets(page, 'js').map((code) => texts.get(code) ?? `in ${page} only: ${code}`);
    assert.deepEqual(printed, expected);
  }
});
