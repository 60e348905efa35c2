// An API in express that asks Latchet about each token. ISSUER is the URL of Latchet.
import express from 'express';

const { ISSUER = 'http://127.0.0.1:8080', PORT = '3000' } = process.env;
const UNAVAILABLE = { type: 'about:blank', title: 'Service Unavailable', status: 503, code: 'unavailable' };
const app = express();

app.use(async (req, res, next) => {
  const headers = { Accept: 'application/json', Authorization: req.get('Authorization') ?? '' };
  const question = { headers, redirect: 'error', signal: AbortSignal.timeout(2000) };
  const answer = await fetch(`${ISSUER}/v1/verify`, question).catch(() => undefined);
  const body = await answer?.json().catch(() => undefined);
  req.user = answer?.status === 200 ? body : undefined;
  if (req.user?.sub) return next();
  // Only a refusal has both; a 401 of a proxy in front of Latchet says nothing about the token.
  const challenge = body?.code && answer.headers.get('WWW-Authenticate');
  res.type('application/problem+json');
  if (challenge) return res.status(answer.status).set('WWW-Authenticate', challenge).json(body);
  return res.status(503).set('Retry-After', '1').json(UNAVAILABLE);
});

app.get('/hello', (req, res) => res.json({ hello: req.user.preferred_username }));

app.listen(Number(PORT), '127.0.0.1');
