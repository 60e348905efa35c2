// A program that gets, uses and revokes tokens for itself at a running Latchet, by oauth4webapi and openid-client.
// Prints a line for each check that holds, and ends at the first that does not.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';

const { TOOLS, URL: base, NAME, SECRET } = process.env;
const load = async (name) => import(pathToFileURL(createRequire(`${TOOLS}/`).resolve(name)));
const oauth = await load('oauth4webapi');
const openid = await load('openid-client');

const check = (name) => console.log(name);
const verify = async (token) => {
  const address = `${base}/v1/verify?scope=orders:read`;
  return (await fetch(address, { headers: { Authorization: `Bearer ${token}` } })).status;
};

const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(base);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
assert(server.grant_types_supported.includes('client_credentials'));
const client = { client_id: NAME };
for (const [method, authentication] of Object.entries({
  client_secret_basic: oauth.ClientSecretBasic(SECRET),
  client_secret_post: oauth.ClientSecretPost(SECRET),
})) {
  assert(server.token_endpoint_auth_methods_supported.includes(method));
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, { scope: 'orders:read' }, insecure);
  const tokens = await oauth.processClientCredentialsResponse(server, client, response);
  assert.equal(tokens.token_type, 'bearer');
  assert.equal(tokens.scope, 'orders:read');
  const shown = new Request('http://service.test/', { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(server, shown, base, insecure);
  assert.equal(claims.client_id, NAME);
  check(`oauth4webapi gets a token by ${method}, and accepts it (RFC 9068)`);

  assert.equal(await verify(tokens.access_token), 204);
  const asked = await oauth.introspectionRequest(server, client, oauth.ClientSecretBasic(SECRET), tokens.access_token, insecure);
  assert.equal((await oauth.processIntrospectionResponse(server, client, asked)).active, true);
  const revoked = await oauth.revocationRequest(server, client, authentication, tokens.access_token, insecure);
  await oauth.processRevocationResponse(revoked);
  assert.equal(await verify(tokens.access_token), 401);
  const again = await oauth.introspectionRequest(server, client, oauth.ClientSecretBasic(SECRET), tokens.access_token, insecure);
  assert.equal((await oauth.processIntrospectionResponse(server, client, again)).active, false);
  check(`oauth4webapi introspects it, and revokes it by ${method}`);
}
const wrong = await oauth.clientCredentialsGrantRequest(server, client, oauth.ClientSecretBasic('wrong'), {}, insecure);
await assert.rejects(oauth.processClientCredentialsResponse(server, client, wrong), {
  code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE',
  status: 401,
});
check('oauth4webapi understands a refused client');

const configuration = await openid.discovery(issuer, NAME, SECRET, openid.ClientSecretBasic(SECRET), {
  algorithm: 'oauth2',
  execute: [openid.allowInsecureRequests],
});
const tokens = await openid.clientCredentialsGrant(configuration, { scope: 'orders:read' });
assert.equal(await verify(tokens.access_token), 204);
assert.equal((await openid.tokenIntrospection(configuration, tokens.access_token)).active, true);
await openid.tokenRevocation(configuration, tokens.access_token);
assert.equal(await verify(tokens.access_token), 401);
check('openid-client gets, introspects and revokes a token');
