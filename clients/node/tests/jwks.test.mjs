// JWKS mode: in front of the real program, and against forged tokens.

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';

import { jwks } from '../dist/jwks.js';
import { FRAMEWORKS, startApi } from './apis.mjs';
import { assertProblem, send } from './problems.mjs';
import { Latchet, freePort, serve } from './server.mjs';

const latchet = {};
before(async () => { latchet.server = await Latchet.start({ LATCHET_AUDIENCE: 'notes,mail' }); });
after(() => latchet.server.remove());

const quiet = (options) => jwks({ log() {}, ...options });
const refused = (promise, status, code) => assert.rejects(promise, { name: 'Refusal', status, code });

test('a token of Latchet is admitted, also after its logout and while Latchet is away', async () => {
  const { server } = latchet;
  const check = quiet({ issuer: server.url, audience: 'notes' });
  const { access_token: token, session_id: session } = await server.login('admin');
  const user = await check(token);
  assert.deepEqual([user.username, user.roles, user.sessionId], ['admin', ['admin'], session]);

  await server.logout(token);
  assert.equal((await check(token)).id, user.id);
  await server.stop();
  const kept = await check(token).finally(() => server.resume());
  assert.equal(kept.id, user.id);
});

test('a token for another audience is refused', async () => {
  const { server } = latchet;
  const { access_token: token } = await server.login('alice');

  await refused(quiet({ issuer: server.url, audience: 'calendar' })(token), 401, 'invalid_token');
  await refused(quiet({ issuer: server.url })(token), 401, 'invalid_token');
  assert.equal((await quiet({ issuer: server.url, audience: 'mail' })(token)).username, 'alice');
});

test('a token of another installation is refused', async (t) => {
  const other = await Latchet.start({ LATCHET_AUDIENCE: 'notes', LATCHET_ISSUER: latchet.server.url });
  t.after(() => other.remove());
  const { access_token: token } = await other.login('alice');

  await refused(quiet({ issuer: latchet.server.url, audience: 'notes' })(token), 401, 'invalid_token');
});

test('a refresh token is refused', async () => {
  const { refresh_token: token } = await latchet.server.login('alice');
  const check = quiet({ issuer: latchet.server.url, audience: 'notes' });

  await assert.rejects(check(token), { status: 401 });
});

test('without keys the response is 503, until there are keys', async () => {
  const { server } = latchet;
  const { access_token: token } = await server.login('alice');
  const check = quiet({ issuer: server.url, audience: 'notes' });

  await server.stop();
  const away = refused(check(token), 503, 'unavailable');
  await away.finally(() => server.resume());

  assert.equal((await check(token)).username, 'alice');
});

test('each framework admits by keys', async (t) => {
  const check = quiet({ issuer: latchet.server.url, audience: 'notes' });
  const { access_token: token } = await latchet.server.login('alice');
  for (const framework of FRAMEWORKS) {
    // A check as it is, instead of options.
    const api = await startApi(t, framework, check);

    assert.equal((await send(`${api.url}/me`, { token })).status, 200);
    assertProblem(await send(`${api.url}/me`), 401, 'missing_token');
    assertProblem(await send(`${api.url}/me`, { token: `${token.slice(0, -4)}AAAA` }), 401, 'invalid_token');
  }
});

/** Starts an issuer with a key of each algorithm, whose tokens the test signs. */
const startIssuer = async (t) => {
  const issuer = { requests: 0, metadata: {}, keys: [] };
  const { url } = await serve(t, (request, response) => {
    issuer.requests += 1;
    if (issuer.answer) return issuer.answer(request, response);
    const metadata = { issuer: url, jwks_uri: `${url}/keys`, ...issuer.metadata };
    response.writeHead(200, { 'Content-Type': 'application/json' });
    return response.end(JSON.stringify(request.url === '/keys' ? { keys: issuer.keys } : metadata));
  });
  const pairs = {};
  for (const alg of ['EdDSA', 'ES256', 'RS256']) {
    pairs[alg] = await generateKeyPair(alg, { extractable: true });
    issuer.keys.push({ ...await exportJWK(pairs[alg].publicKey), kid: alg, alg, use: 'sig' });
  }
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: url, aud: url, sub: 'u1', sid: 's1', jti: randomUUID(), iat: now, exp: now + 900, type: 'access',
    preferred_username: 'alice', roles: ['a'], scope: 'x y',
  };
  const sign = (changes = {}, header = {}, key = undefined) => {
    const parts = { alg: 'EdDSA', kid: 'EdDSA', typ: 'at+jwt', ...header };
    return new SignJWT({ ...claims, ...changes }).setProtectedHeader(parts).sign(key ?? pairs[parts.alg].privateKey);
  };
  return Object.assign(issuer, { url, pairs, claims, sign });
};

test('each algorithm with public keys is accepted, unless the options say otherwise', async (t) => {
  const issuer = await startIssuer(t);
  const [all, one] = [quiet({ issuer: issuer.url }), quiet({ issuer: issuer.url, algorithms: ['ES256'] })];

  for (const alg of ['EdDSA', 'ES256', 'RS256']) {
    const token = await issuer.sign({}, { alg, kid: alg });
    assert.deepEqual((await all(token)).scopes, ['x', 'y'], alg);
    if (alg === 'ES256') assert.equal((await one(token)).id, 'u1');
    else await refused(one(token), 401, 'invalid_token');
  }
  for (const algorithms of [['HS256'], ['none'], ['EdDSA', 'HS256'], []]) {
    assert.throws(() => jwks({ issuer: issuer.url, algorithms }), TypeError);
  }
});

test('forged and wrong tokens are refused', async (t) => {
  const issuer = await startIssuer(t);
  const check = quiet({ issuer: issuer.url });
  const stranger = await generateKeyPair('EdDSA');
  const bytes = Buffer.from(issuer.keys[0].x, 'base64url');
  const pem = Buffer.from(await exportSPKI(issuer.pairs.RS256.publicKey));
  const hmac = (kid, secret, encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')) => {
    const message = `${encode({ alg: 'HS256', kid, typ: 'at+jwt' })}.${encode(issuer.claims)}`;
    return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
  };
  const none = new UnsecuredJWT(issuer.claims).encode();
  const [, payload] = (await issuer.sign()).split('.');
  const noneOfType = `${Buffer.from('{"alg":"none","typ":"at+jwt","kid":"EdDSA"}').toString('base64url')}.${payload}.`;
  const past = issuer.claims.iat - 10;

  for (const [what, token, code = 'invalid_token'] of [
    ['another key', await issuer.sign({}, {}, stranger.privateKey)],
    ['an unknown key', await issuer.sign({}, { kid: 'other' }, stranger.privateKey)],
    ['a key in its header', await issuer.sign({}, { jwk: await exportJWK(stranger.publicKey) }, stranger.privateKey)],
    ['no signature', none],
    ['no signature, as an access token', noneOfType],
    ['a MAC by the bytes of the public key', hmac('EdDSA', bytes)],
    ['a MAC by the text of the public key', hmac('EdDSA', issuer.keys[0].x)],
    ['a MAC by the PEM of the public key', hmac('RS256', pem)],
    ['the key of another algorithm', await issuer.sign({}, { alg: 'ES256', kid: 'RS256' })],
    ['another issuer', await issuer.sign({ iss: 'https://other.example.org' })],
    ['no issuer', await issuer.sign({ iss: undefined })],
    ['another audience', await issuer.sign({ aud: 'other' })],
    ['no audience', await issuer.sign({ aud: undefined })],
    ['expired', await issuer.sign({ exp: past }), 'token_expired'],
    ['no expiry', await issuer.sign({ exp: undefined })],
    ['not valid yet', await issuer.sign({ nbf: issuer.claims.exp })],
    ['no user', await issuer.sign({ sub: undefined })],
    ['no id', await issuer.sign({ jti: undefined })],
    ['no time of issue', await issuer.sign({ iat: undefined })],
    ['a refresh token', await issuer.sign({ type: 'refresh' }), 'wrong_token_type'],
    ['no type', await issuer.sign({ type: undefined }), 'wrong_token_type'],
    ['another typ', await issuer.sign({}, { typ: 'JWT' })],
    ['no typ', await issuer.sign({}, { typ: undefined })],
    ['an extension', `${Buffer.from('{"alg":"EdDSA","kid":"EdDSA","typ":"at+jwt","crit":["b64x"],"b64x":1}').toString('base64url')}.${payload}.AA`],
    ['no name', await issuer.sign({ preferred_username: undefined }), 'malformed_token'],
    ['roles that are a text', await issuer.sign({ roles: 'admin' }), 'malformed_token'],
    ['no JSON', 'a.b.c', 'malformed_token'],
    ['no header', `.${payload}.AA`, 'malformed_token'],
  ]) {
    const outcome = await check(token).then((user) => assert.fail(`${what}: admitted as ${user.id}`), (error) => error);

    assert.deepEqual([outcome.status, outcome.code], [401, code], what);
    assert.match(outcome.headers['WWW-Authenticate'], /^Bearer error="invalid_token", error_description="[^"]+"$/, what);
  }
  assert.equal((await check(await issuer.sign())).id, 'u1');
});

test('unknown keys cause few requests, and a new key is found', async (t) => {
  const issuer = await startIssuer(t);
  const check = quiet({ issuer: issuer.url });
  await check(await issuer.sign());
  const { requests } = issuer;
  const unknown = await issuer.sign({}, { kid: 'other' }, (await generateKeyPair('EdDSA')).privateKey);

  await Promise.all(Array.from({ length: 50 }, () => refused(check(unknown), 401, 'invalid_token')));

  assert.equal(issuer.requests, requests);
  const later = quiet({ issuer: issuer.url });
  issuer.keys.splice(0, 3, { ...issuer.keys[0], kid: 'new' });
  assert.equal((await later(await issuer.sign({}, { kid: 'new' }))).id, 'u1');
});

test('faults of the issuer are 503', async (t) => {
  const issuer = await startIssuer(t);
  const token = await issuer.sign();
  const answers = {
    'metadata of another issuer': [() => { issuer.metadata = { issuer: 'https://other.example.org' }; }],
    'no address of keys': [() => { issuer.metadata = { jwks_uri: undefined }; }],
    'keys without protection': [() => { issuer.metadata = { jwks_uri: 'http://other.example.org/keys' }; }],
    'keys that are away': [async () => { issuer.metadata = { jwks_uri: `http://127.0.0.1:${await freePort()}/keys` }; }],
    'no JSON': [() => { issuer.answer = (request, response) => response.end('<!doctype html>'); }],
    'keys that are no set': [() => { issuer.metadata = { jwks_uri: `${issuer.url}/other` }; }],
    'an error': [() => { issuer.answer = (request, response) => response.writeHead(500).end('{}'); }],
    'a redirect': [() => { issuer.answer = (request, response) => response.writeHead(302, { Location: '/keys' }).end(); }],
    silence: [() => { issuer.answer = () => {}; }],
  };
  for (const [fault, [cause]] of Object.entries(answers)) {
    await cause();
    const outcome = await quiet({ issuer: issuer.url, timeoutMs: 200 })(token).then(() => 'admitted', (error) => error);
    assert.deepEqual([outcome.status, outcome.code], [503, 'unavailable'], fault);
    assert.equal(outcome.headers['Retry-After'], '1', fault);
    Object.assign(issuer, { metadata: {}, answer: undefined });
  }
});

test('simultaneous first checks fetch the keys once', async (t) => {
  const issuer = await startIssuer(t);
  const check = quiet({ issuer: issuer.url });
  const token = await issuer.sign();

  await Promise.all(Array.from({ length: 20 }, () => check(token)));

  assert.equal(issuer.requests, 2);
});

test('a narrowed token passes where its scope is named, and has no role', async (t) => {
  const issuer = await startIssuer(t);
  const token = await issuer.sign({ roles: ['admin'], scope: 'mail:read', narrowed: true });
  const program = await issuer.sign({ sub: 'service:nightly', preferred_username: undefined, scope: 'mail:read', narrowed: true });
  const whole = await issuer.sign({ roles: ['admin'] });
  for (const framework of FRAMEWORKS) {
    const plain = await startApi(t, framework, quiet({ issuer: issuer.url }));
    const scoped = await startApi(t, framework, quiet({ issuer: issuer.url, scope: 'mail:read' }));

    for (const limited of [token, program]) {
      assertProblem(await send(`${plain.url}/mail`, { token: limited }), 403, 'insufficient_scope');
      assert.equal((await send(`${scoped.url}/mail`, { token: limited })).status, 200);
      assertProblem(await send(`${scoped.url}/notes`, { method: 'DELETE', token: limited }), 403, 'insufficient_scope');
    }
    assert.equal((await send(`${plain.url}/notes`, { method: 'DELETE', token: whole })).status, 200);
    assertProblem(await send(`${scoped.url}/mail`, { token: whole }), 403, 'insufficient_scope');
  }
});

test('an issuer on https cannot name keys on http', async (t) => {
  const issuer = 'https://auth.example.org';
  const asked = [];
  t.mock.method(globalThis, 'fetch', async (url) => {
    asked.push(String(url));
    return Response.json({ issuer, jwks_uri: 'http://127.0.0.1:8080/keys' });
  });

  await refused(quiet({ issuer })('a.b.c'), 503, 'unavailable');

  assert.deepEqual(asked, [`${issuer}/.well-known/openid-configuration`]);
});
