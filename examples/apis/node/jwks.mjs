// An API in express that checks tokens by the public keys of Latchet. ISSUER is the URL of Latchet.
// A LOGOUT TAKES EFFECT WHEN THE TOKEN EXPIRES, 15 minutes later by default.
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { ISSUER = 'http://127.0.0.1:8080', AUDIENCE = ISSUER, PORT = '3000' } = process.env;
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER), { timeoutDuration: 2000 });
const expected = {
  issuer: ISSUER, audience: AUDIENCE, algorithms: ['EdDSA'], typ: 'at+jwt', requiredClaims: ['sub', 'exp'],
};
// Every other error is a fault of Latchet or of the network.
const FAULT_OF_TOKEN = /^ERR_(JWT|JWS|JWKS_NO_MATCHING_KEY|JOSE_ALG_NOT_ALLOWED|JOSE_NOT_SUPPORTED)/;

const refuse = (res, status, title, code, headers) =>
  res.status(status).set(headers).type('application/problem+json').json({ type: 'about:blank', title, status, code });

const app = express();
app.use(async (req, res, next) => {
  const [, token] = /^Bearer +([^ ]+)$/i.exec(req.get('Authorization') ?? '') ?? [];
  if (!token) return refuse(res, 401, 'Unauthorized', 'missing_token', { 'WWW-Authenticate': 'Bearer realm="latchet"' });
  const { payload, error } = await jwtVerify(token, keys, expected).catch((reason) => ({ error: reason }));
  // Limited to some scopes, as those of programs are: this API checks none.
  if (payload?.narrowed) return refuse(res, 403, 'Forbidden', 'insufficient_scope');
  req.user = payload?.type === 'access' ? payload : undefined;
  if (req.user) return next();
  const isFault = error && !FAULT_OF_TOKEN.test(error.code);
  if (isFault) return refuse(res, 503, 'Service Unavailable', 'unavailable', { 'Retry-After': '1' });
  return refuse(res, 401, 'Unauthorized', 'invalid_token', { 'WWW-Authenticate': 'Bearer error="invalid_token"' });
});

app.get('/hello', (req, res) => res.json({ hello: req.user.preferred_username }));

app.listen(Number(PORT), '127.0.0.1');
