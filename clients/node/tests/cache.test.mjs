// The cache of verify mode, by a clock that the test sets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { verify } from '../dist/index.js';
import { serve } from './server.mjs';

const EXPIRY_S = 1_900_000_000;

/** Starts an issuer that admits each token until `refuses` is set, and counts questions and connections. */
const startIssuer = async (t) => {
  const issuer = { questions: 0, connections: 0, refuses: false, exp: EXPIRY_S, held: undefined };
  const server = await serve(t, async (request, response) => {
    issuer.questions += 1;
    const { refuses } = issuer;
    await issuer.held;
    if (refuses) {
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"', 'Content-Type': 'application/problem+json' });
      return response.end(JSON.stringify({ code: 'token_revoked', detail: 'the token was revoked' }));
    }
    response.writeHead(200, { 'Content-Type': 'application/json' });
    return response.end(JSON.stringify({ sub: 'u1', preferred_username: 'alice', roles: ['a'], exp: issuer.exp }));
  });
  server.on('connection', () => { issuer.connections += 1; });
  return Object.assign(issuer, { server, url: server.url });
};

const start = async (t, options) => {
  const issuer = await startIssuer(t);
  const now = { elapsed: 5000, time: (EXPIRY_S - 600) * 1000 };
  const pass = (ms) => { now.elapsed += ms; now.time += ms; };
  const check = verify({ issuer: issuer.url, log() {}, ...options }, () => ({ ...now }));
  return { issuer, now, pass, check };
};

const refused = (check, token) => assert.rejects(check(token), { status: 401, code: 'token_revoked' });

test('an answer counts for less than a second after its question was sent', async (t) => {
  const { issuer, pass, check } = await start(t);
  await check('a.b.c');
  issuer.refuses = true;

  pass(999);
  assert.equal((await check('a.b.c')).username, 'alice');
  assert.equal(issuer.questions, 1);

  pass(1);
  await refused(check, 'a.b.c');
  assert.equal(issuer.questions, 2);
});

test('the second begins when the question is sent, however late the answer is', async (t) => {
  const { issuer, pass, check } = await start(t);
  let release;
  issuer.held = new Promise((resolve) => { release = resolve; });
  const asked = once(issuer.server, 'request');
  const first = check('a.b.c');
  await asked;
  issuer.refuses = true;

  pass(999);
  const second = check('a.b.c');
  pass(1);
  const third = check('a.b.c');
  const settled = assert.rejects(third, { code: 'token_revoked' });
  release();

  assert.equal((await first).id, 'u1');
  assert.equal((await second).id, 'u1');
  await settled;
  assert.equal(issuer.questions, 2);
});

test('an answer does not count on either clock alone', async (t) => {
  for (const clock of ['elapsed', 'time']) {
    const { issuer, now, check } = await start(t);
    await check('a.b.c');

    now[clock] += 1000;
    await check('a.b.c');

    assert.equal(issuer.questions, 2, clock);
  }
});

test('an answer does not count beyond the expiry of the token', async (t) => {
  const { issuer, now, pass, check } = await start(t);
  issuer.exp = now.time / 1000 + 0.5;
  await check('a.b.c');

  pass(499);
  await check('a.b.c');
  assert.equal(issuer.questions, 1);

  pass(1);
  await check('a.b.c');
  assert.equal(issuer.questions, 2);
});

test('simultaneous checks of one token cause one question', async (t) => {
  const { issuer, check } = await start(t);

  const users = await Promise.all(Array.from({ length: 50 }, () => check('a.b.c')));
  await Promise.all([check('a.b.d'), check('a.b.d')]);

  assert.equal(new Set(users).size, 1);
  assert.equal(issuer.questions, 2);
});

test('a refusal is not kept', async (t) => {
  const { issuer, check } = await start(t);
  issuer.refuses = true;
  await refused(check, 'a.b.c');

  issuer.refuses = false;

  assert.equal((await check('a.b.c')).id, 'u1');
  assert.equal(issuer.questions, 2);
});

test('a failure is not kept', async (t) => {
  const { issuer, check } = await start(t);
  issuer.exp = 'never';
  await assert.rejects(check('a.b.c'), { status: 503 });

  issuer.exp = EXPIRY_S;

  assert.equal((await check('a.b.c')).id, 'u1');
});

test('without a cache each check asks, even beside another', async (t) => {
  const { issuer, check } = await start(t, { cacheMs: 0 });

  await Promise.all([check('a.b.c'), check('a.b.c')]);
  await check('a.b.c');

  assert.equal(issuer.questions, 3);
});

test('a shorter time is possible, a longer one is not', async (t) => {
  const { issuer, pass, check } = await start(t, { cacheMs: 100 });
  await check('a.b.c');
  pass(100);
  await check('a.b.c');
  assert.equal(issuer.questions, 2);

  for (const cacheMs of [1001, -1, NaN, Infinity, '1s']) {
    assert.throws(() => verify({ issuer: issuer.url, cacheMs }), RangeError, String(cacheMs));
  }
  for (const timeoutMs of [0, NaN, 60_001]) {
    assert.throws(() => verify({ issuer: issuer.url, timeoutMs }), RangeError, String(timeoutMs));
  }
});

test('of more tokens than the cache holds the oldest are forgotten', async (t) => {
  const { issuer, check } = await start(t);
  await check('a.b.first');
  await check('a.b.second');
  for (let start = 0; start < 9999; start += 99) {
    await Promise.all(Array.from({ length: 99 }, (_, at) => check(`a.b.${start + at}`)));
  }
  assert.equal(issuer.questions, 10_001);

  await check('a.b.second');
  assert.equal(issuer.questions, 10_001);
  await check('a.b.first');
  assert.equal(issuer.questions, 10_002);
});

test('a user is frozen, because requests share it', async (t) => {
  const { check } = await start(t);
  const user = await check('a.b.c');

  assert.throws(() => { user.roles.push('admin'); }, TypeError);
  assert.throws(() => { user.claims.roles.push('admin'); }, TypeError);
  assert.throws(() => { user.id = 'u2'; }, TypeError);
  assert.deepEqual((await check('a.b.c')).roles, ['a']);
});

test('connections stay open for the next question', async (t) => {
  const { issuer, check } = await start(t, { cacheMs: 0 });

  for (let count = 0; count < 50; count += 1) await check('a.b.c');

  assert.equal(issuer.questions, 50);
  // `fetch` may open a second one while the first is not quite free.
  assert(issuer.connections <= 2, `${issuer.connections} connections`);
});
