// A service in TypeScript: the types of the packed package, compiled in a fresh project.

import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { Refusal, verify, type TokenCheck, type User } from '@latchet/node';
import * as forExpress from '@latchet/node/express';
import * as forFastify from '@latchet/node/fastify';
import * as forHono from '@latchet/node/hono';
import { jwks } from '@latchet/node/jwks';

const issuer = 'https://auth.example.org';
const check: TokenCheck = verify({ issuer, cacheMs: 0, timeoutMs: 500, log: (line) => process.stderr.write(line) });
const byKeys: TokenCheck = jwks({ issuer, audience: 'notes', algorithms: ['EdDSA'] });

const app = express();
app.use(forExpress.requireUser({ issuer }));
app.get('/me', (req, res) => {
  const user: User = req.user;
  const session: string | undefined = req.user.sessionId;
  // @ts-expect-error a user has no such member
  user.password;
  // @ts-expect-error roles are shared by requests
  req.user.roles.push('admin');
  res.json({ id: user.id, session, roles: user.roles.join(), jti: user.claims['jti'] });
});
app.delete('/notes', forExpress.requireRole('admin'), forExpress.requireScope('notes:write'), (req, res) => {
  res.json(req.user.scopes);
});

const server = fastify();
server.addHook('onRequest', forFastify.requireUser(check));
server.get('/me', async (request) => {
  // @ts-expect-error names are texts
  const name: number = request.user.username;
  return { name, id: request.user.id };
});
server.delete('/notes', { onRequest: forFastify.requireRole('admin') }, async (request) => request.user.roles);

const routes = new Hono<forHono.UserEnv>();
routes.use(forHono.requireUser(byKeys));
routes.get('/me', (c) => c.json({ id: c.get('user').id }));
routes.delete('/notes', forHono.requireRole('admin'), (c) => c.json(c.get('user').roles));
new Hono().get('/me', forHono.requireUser({ issuer }), (c) => {
  // @ts-expect-error there is no such variable
  c.get('session');
  return c.json(c.get('user').username);
});

// @ts-expect-error the issuer is required
verify({ cacheMs: 1000 });
// @ts-expect-error the clock is for tests of the package
verify({ issuer }, () => ({ elapsed: 0, time: 0 }));
// @ts-expect-error secrets are not supported
jwks({ issuer, algorithms: ['HS256'] });

export const statusOf = (error: unknown): number => (error instanceof Refusal ? error.status : 500);
