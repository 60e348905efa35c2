// What clients of OAuth do with a running Latchet, by jose and oauth4webapi. Prints a line for each check
// that holds, and ends at the first that does not.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';

const { TOOLS, URL: base, ACCESS, REFRESH, USER, INTROSPECTOR } = process.env;
const load = async (name) => import(pathToFileURL(createRequire(`${TOOLS}/`).resolve(name)));
const jose = await load('jose');
const oauth = await load('oauth4webapi');

const insecure = { [oauth.allowInsecureRequests]: true };
// A refresh token belongs to its client: those of `/v1/login` to this one.
const client = { client_id: 'latchet' };
const check = (name) => console.log(name);

// Another user in the same token.
const mutated = (() => {
  const [header, payload, signature] = ACCESS.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const changed = Buffer.from(JSON.stringify({ ...claims, sub: 'mallory' })).toString('base64url');
  return [header, changed, signature].join('.');
})();

const issuer = new URL(base);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
assert.equal(server.issuer, base);
check('oauth4webapi discovers the server');

const keys = jose.createRemoteJWKSet(new URL(server.jwks_uri));
const wanted = { issuer: base, audience: base, typ: 'at+jwt', requiredClaims: ['client_id', 'jti', 'iat', 'sub'] };
const { payload } = await jose.jwtVerify(ACCESS, keys, wanted);
assert.equal(payload.sub, USER);
check('jose accepts the token');
await assert.rejects(jose.jwtVerify(mutated, keys, wanted), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
check('jose refuses a changed one');

const shown = (token) => new Request('http://service.test/', { headers: { authorization: `Bearer ${token}` } });
const validate = (token) => oauth.validateJwtAccessToken(server, shown(token), base, insecure);
const claims = await validate(ACCESS);
assert.equal(claims.sub, USER);
check('oauth4webapi accepts the token (RFC 9068)');
await assert.rejects(validate(mutated));
await assert.rejects(validate(REFRESH));
check('oauth4webapi refuses a changed one and a refresh token');

const refresh = async (token) => {
  const answer = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), token, insecure);
  return oauth.processRefreshTokenResponse(server, client, answer);
};
const tokens = await refresh(REFRESH);
assert.notEqual(tokens.refresh_token, REFRESH);
assert.equal((await validate(tokens.access_token)).sub, USER);
check('oauth4webapi refreshes');
await assert.rejects(refresh('junk'), { error: 'invalid_grant' });
check('oauth4webapi understands a refused refresh');

const asIntrospector = (_server, _client, _body, headers) => headers.set('authorization', `Bearer ${INTROSPECTOR}`);
const introspect = async (token) => {
  const answer = await oauth.introspectionRequest(server, client, asIntrospector, token, insecure);
  return oauth.processIntrospectionResponse(server, client, answer);
};
const live = await introspect(tokens.access_token);
assert.deepEqual([live.active, live.sub, live.iss], [true, USER, base]);
assert.equal((await introspect(tokens.refresh_token)).active, true);
check('oauth4webapi introspects');

const revoke = async (token) => {
  const answer = await oauth.revocationRequest(server, client, oauth.None(), token, insecure);
  return oauth.processRevocationResponse(answer);
};
await revoke(tokens.refresh_token);
assert.deepEqual(await introspect(tokens.access_token), { active: false });
await assert.rejects(refresh(tokens.refresh_token), { error: 'invalid_grant' });
check('oauth4webapi revokes, and the session is over');
await revoke('junk');
check('oauth4webapi revokes what nobody knows');
