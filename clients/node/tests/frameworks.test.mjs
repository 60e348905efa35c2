// Each framework in front of the real program.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { FRAMEWORKS, startApi } from './apis.mjs';
import { assertProblem, send } from './problems.mjs';
import { Latchet, claimsOf, freeze } from './server.mjs';

const latchet = {};
before(async () => { latchet.server = await Latchet.start({ LATCHET_SCOPES: 'mail:read,mail:send' }); });
after(() => latchet.server.remove());

for (const framework of FRAMEWORKS) {
  describe(framework, { concurrency: false }, () => {
    const start = (t, options) => startApi(t, framework, { issuer: latchet.server.url, cacheMs: 0, ...options });

    test('a valid token is admitted as its user', async (t) => {
      const api = await start(t);
      const { access_token: token, session_id: session } = await latchet.server.login('alice');

      const { status, body } = await send(`${api.url}/me`, { token });

      assert.equal(status, 200, body);
      const { claims, ...user } = JSON.parse(body);
      const expected = claimsOf(token);
      assert.deepEqual(user, {
        id: expected.sub, username: 'alice', roles: [], scopes: ['mail:read', 'mail:send'], sessionId: session,
      });
      assert.equal(claims.jti, expected.jti);
      assert.equal(claims.exp, expected.exp);
    });

    test('a request without a valid token is refused as Latchet refuses it', async (t) => {
      const api = await start(t);
      const { access_token: token, refresh_token: refresh } = await latchet.server.login('alice');
      const tampered = `${token.slice(0, -4)}AAAA`;
      for (const [lines, status, code, challenge] of [
        [[], 401, 'missing_token', 'Bearer realm="latchet"'],
        [['Basic YTpi'], 401, 'missing_token', 'Bearer realm="latchet"'],
        [['Bearer'], 401, 'malformed_token', 'Bearer error="invalid_token", '],
        [['Bearer nonsense'], 401, 'malformed_token', 'Bearer error="invalid_token", '],
        [['Bearer a.b.c'], 401, 'malformed_token', 'Bearer error="invalid_token", '],
        [[`Bearer ${tampered}`], 401, 'invalid_token', 'Bearer error="invalid_token", '],
        [[`Bearer ${refresh}`], 401, undefined, 'Bearer error="invalid_token", '],
        [[`Bearer ${token}`, `Bearer ${token}`], 400, 'validation_failed', 'Bearer error="invalid_request", '],
        [[`Bearer ${token}, bearer ${token}`], 400, 'validation_failed', 'Bearer error="invalid_request", '],
      ]) {
        const response = await send(`${api.url}/me`, { lines });

        assertProblem(response, status, code ?? JSON.parse(response.body).code);
        assert.ok(response.headers['www-authenticate'].startsWith(challenge), response.headers['www-authenticate']);
      }
    });

    test('credentials of other schemes are skipped', async (t) => {
      const api = await start(t);
      const { access_token: token } = await latchet.server.login('alice');

      const { status } = await send(`${api.url}/me`, { lines: ['Basic YTpi', `bearer ${token}`] });

      assert.equal(status, 200);
    });

    test('without the cache a logout takes effect at the next request', async (t) => {
      const api = await start(t);
      const { access_token: token } = await latchet.server.login('alice');
      assert.equal((await send(`${api.url}/me`, { token })).status, 200);

      await latchet.server.logout(token);

      const response = await send(`${api.url}/me`, { token });
      assertProblem(response, 401, 'token_revoked');
      assert.match(response.headers['www-authenticate'], /^Bearer error="invalid_token", /);
    });

    test('roles are required by name', async (t) => {
      const api = await start(t);
      const notes = { method: 'DELETE' };
      const { access_token: alice } = await latchet.server.login('alice');
      const { access_token: admin } = await latchet.server.login('admin');

      const refused = await send(`${api.url}/notes`, { ...notes, token: alice });
      assertProblem(refused, 403, 'insufficient_scope');
      assert.match(refused.headers['www-authenticate'], /^Bearer error="insufficient_scope", /);
      assert.equal((await send(`${api.url}/notes`, { ...notes, token: admin })).status, 200);
      assertProblem(await send(`${api.url}/notes`, notes), 401, 'missing_token');
    });

    test('a check of roles without a user is a fault of the service, and admits nobody', async (t) => {
      const api = await start(t);
      const { access_token: admin } = await latchet.server.login('admin');

      assert.equal((await send(`${api.url}/mistake`, { token: admin })).status, 500);
    });

    test('scopes are required by name, and a narrowed token is refused', async (t) => {
      const api = await start(t);
      const { access_token: token } = await latchet.server.login('alice');
      const { access_token: narrowed } = await latchet.server.login('alice', { scope: 'mail:read' });

      assert.equal((await send(`${api.url}/mail`, { token })).status, 200);
      assertProblem(await send(`${api.url}/dates`, { token }), 403, 'insufficient_scope');
      assertProblem(await send(`${api.url}/mail`, { token: narrowed }), 403, 'insufficient_scope');
    });

    test('a narrowed token passes where its scope is named', async (t) => {
      const api = await start(t, { scope: 'mail:read' });
      const { access_token: narrowed } = await latchet.server.login('alice', { scope: 'mail:read' });
      const { access_token: other } = await latchet.server.login('alice', { scope: 'mail:send' });

      assert.equal((await send(`${api.url}/mail`, { token: narrowed })).status, 200);
      assertProblem(await send(`${api.url}/notes`, { method: 'DELETE', token: narrowed }), 403, 'insufficient_scope');
      assertProblem(await send(`${api.url}/mail`, { token: other }), 403, 'insufficient_scope');
    });

    test('while Latchet is away or hangs the response is 503', async (t) => {
      const api = await start(t, { timeoutMs: 200 });
      const { access_token: token } = await latchet.server.login('alice');
      const me = () => send(`${api.url}/me`, { token });
      assert.equal((await me()).status, 200);

      await freeze(latchet.server.child);
      const hanging = await me();
      latchet.server.child.kill('SIGCONT');
      assertProblem(hanging, 503, 'unavailable');
      assert.equal((await me()).status, 200);

      await latchet.server.stop();
      const away = await me();
      await latchet.server.resume();
      assertProblem(away, 503, 'unavailable');
      assert.equal(away.headers['retry-after'], '1');
      assert.equal((await me()).status, 200);
    });
  });
}

test('fastify applies the check to injected requests too', async (t) => {
  const { app } = await startApi(t, 'fastify', { issuer: latchet.server.url });
  const { access_token: token } = await latchet.server.login('alice');

  assert.equal((await app.inject({ url: '/me' })).statusCode, 401);
  assert.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })).statusCode, 200);
});
