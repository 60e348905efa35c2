// oidc-provider with refresh tokens that rotate at every use, on Redis. It has no login with name and
// password of its own: one is registered as its documentation says of custom grant types, and gives what a
// login in a browser with consent to `openid offline_access` would. It hashes nothing and is not measured.

import { Redis } from 'ioredis';
import { Provider, errors } from 'oidc-provider';
import { storeIn } from './redis-store.mjs';

const { PORT, PASSWORD, REDIS_URL, SECRET, SIGNING_KEY } = process.env;
const SCOPE = 'openid offline_access';

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  adapter: storeIn(new Redis(REDIS_URL, { enableAutoPipelining: true })),
  clients: [{
    client_id: 'suite',
    token_endpoint_auth_method: 'none',
    grant_types: ['password', 'authorization_code', 'refresh_token'],
    response_types: ['code'],
    id_token_signed_response_alg: 'ES256',
    redirect_uris: ['https://suite.test/callback'],
  }],
  cookies: { keys: [SECRET] },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  jwks: { keys: [{ ...JSON.parse(SIGNING_KEY), use: 'sig', alg: 'ES256' }] },
  rotateRefreshToken: true,
});

async function logIn(ctx) {
  const { client, params } = ctx.oidc;
  if (params.password !== PASSWORD) {
    throw new errors.InvalidGrant('wrong name or password');
  }
  const grant = new provider.Grant({ accountId: params.username, clientId: client.clientId });
  grant.addOIDCScope(SCOPE);
  const issued = { accountId: params.username, client, grantId: await grant.save(), gty: 'password', scope: SCOPE };
  const access = new provider.AccessToken(issued);
  const refresh = new provider.RefreshToken({ ...issued, rotations: 0 });
  ctx.body = {
    access_token: await access.save(),
    refresh_token: await refresh.save(),
    token_type: 'Bearer',
    expires_in: access.expiration,
    scope: SCOPE,
  };
}

provider.registerGrantType('password', logIn, ['username', 'password']);
provider.listen(Number(PORT), '127.0.0.1');
