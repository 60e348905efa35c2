// Answers that are not from a healthy Latchet: each is 503, never 401 and never a user.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { verify } from '../dist/index.js';
import { FRAMEWORKS, startApi } from './apis.mjs';
import { assertProblem, send } from './problems.mjs';
import { freePort, serve } from './server.mjs';

const USER = { sub: 'u1', preferred_username: 'alice', roles: [], exp: 1_900_000_000 };
const PROBLEM = { type: 'about:blank', title: 'Unauthorized', status: 401, code: 'token_revoked', detail: 'x' };
const CHALLENGE = { 'WWW-Authenticate': 'Bearer error="invalid_token"' };

const json = (status, body, headers) => (request, response) => {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
};
const text = (status, body, headers) => (request, response) => { response.writeHead(status, headers).end(body); };

const FAULTS = {
  'no content, as for a proxy': text(204),
  'a page instead of JSON': text(200, '<!doctype html><title>Welcome</title>', { 'Content-Type': 'text/html' }),
  'an empty body': text(200, ''),
  'JSON that is no object': json(200, 'alice'),
  'JSON null': json(200, null),
  'claims without a user': json(200, { ...USER, sub: undefined }),
  'claims with an empty user': json(200, { ...USER, sub: '' }),
  'claims with a number as the user': json(200, { ...USER, sub: 7 }),
  'claims without a name': json(200, { ...USER, preferred_username: undefined }),
  'roles that are a text': json(200, { ...USER, roles: 'admin' }),
  'roles that are no texts': json(200, { ...USER, roles: [{}] }),
  'an expiry that is a text': json(200, { ...USER, exp: 'never' }),
  'claims with another success': json(201, USER),
  'a redirect to an answer': (request, response) => {
    if (request.url === '/v1/verify') text(302, '', { Location: '/other' })(request, response);
    else json(200, USER)(request, response);
  },
  'an error of the server': json(500, { ...PROBLEM, status: 500, code: 'internal' }),
  'an error of a proxy': text(502, '<h1>Bad Gateway</h1>'),
  'a page that does not exist': json(404, { ...PROBLEM, status: 404, code: 'not_found' }, CHALLENGE),
  'a malformed request': json(400, { ...PROBLEM, status: 400, code: 'validation_failed' }, CHALLENGE),
  'a 401 of a proxy': text(401, '<h1>Authorization Required</h1>', { 'WWW-Authenticate': 'Basic realm="x"' }),
  'a 401 of a proxy in JSON': json(401, PROBLEM, { 'WWW-Authenticate': 'Basic realm="x"' }),
  'a 401 without a challenge': json(401, PROBLEM),
  'a 401 without a code': json(401, { error: 'x' }, CHALLENGE),
  'a body that ends early': (request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 500 });
    response.write('{"sub":"u1"');
    response.socket.end();
  },
  'a connection that is closed': (request) => { request.socket.destroy(); },
  'no HTTP': (request) => { request.socket.end('SSH-2.0-OpenSSH\r\n'); },
  'silence': () => {},
  'silence within the body': (request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.write('{"sub":"u1"');
  },
};

for (const [fault, answer] of Object.entries(FAULTS)) {
  test(`503 after ${fault}`, async (t) => {
    const { url } = await serve(t, answer);
    const check = verify({ issuer: url, timeoutMs: 300, log() {} });

    await assert.rejects(check('a.b.c'), (refusal) => {
      assert.equal(refusal.status, 503);
      assert.equal(refusal.code, 'unavailable');
      assert.equal(refusal.headers['Retry-After'], '1');
      return true;
    });
  });
}

test('a refused connection is 503 in each framework, and the body does not name the cause', async (t) => {
  const issuer = `http://127.0.0.1:${await freePort()}`;
  for (const framework of FRAMEWORKS) {
    const api = await startApi(t, framework, { issuer });

    const response = await send(`${api.url}/me`, { token: 'a.b.c' });

    assertProblem(response, 503, 'unavailable');
    assert.equal(JSON.parse(response.body).detail, 'the check could not be completed');
    assert.equal(response.headers['retry-after'], '1');
  }
});

test('a waiting time that Latchet requests is passed on, as 503 for 429 as well', async (t) => {
  for (const status of [429, 503]) {
    const { url } = await serve(t, json(status, { code: 'x', detail: 'x' }, { 'Retry-After': '17' }));

    await assert.rejects(verify({ issuer: url, log() {} })('a.b.c'), ({ headers }) => {
      assert.equal(headers['Retry-After'], '17');
      return true;
    });
  }
});

test('a waiting time that is not a number of seconds is replaced', async (t) => {
  const { url } = await serve(t, json(503, {}, { 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' }));

  await assert.rejects(verify({ issuer: url, log() {} })('a.b.c'), ({ headers }) => {
    assert.equal(headers['Retry-After'], '1');
    return true;
  });
});

test('the log has one line for each change to failing, without the token', async (t) => {
  const answers = [text(502, ''), text(502, ''), json(200, USER), text(502, '')];
  const { url } = await serve(t, (request, response) => answers.shift()(request, response));
  const lines = [];
  const check = verify({ issuer: url, cacheMs: 0, log: (line) => lines.push(line) });

  for (const isAdmitted of [false, false, true, false]) {
    const outcome = await check('secret.token.value').then(() => true, () => false);
    assert.equal(outcome, isAdmitted);
  }

  assert.equal(lines.length, 2, lines.join('\n'));
  for (const line of lines) {
    assert.match(line, /^latchet: checks fail: ./);
    assert(!line.includes('secret'), line);
  }
});

test('a client that leaves does not end the question that others wait for', async (t) => {
  let release;
  const { url, ...issuer } = await serve(t, async (request, response) => {
    await new Promise((resolve) => { release = resolve; issuer.asked?.(); });
    json(200, USER)(request, response);
  });
  const api = await startApi(t, 'express', { issuer: url });
  const asked = new Promise((resolve) => { issuer.asked = resolve; });
  const leaving = new AbortController();
  const headers = { Authorization: 'Bearer a.b.c' };
  const gone = fetch(`${api.url}/me`, { headers, signal: leaving.signal });
  const isGone = assert.rejects(gone, { name: 'AbortError' });
  await asked;
  const staying = fetch(`${api.url}/me`, { headers });
  leaving.abort();
  await isGone;
  release();

  assert.equal((await staying).status, 200);
});
