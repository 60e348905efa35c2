// fastify with @fastify/jwt, and in Redis what its documentation leaves to the program: refresh tokens,
// each good for one use, and a denylist that `trusted` asks. As is usual, Redis is the only memory.

import { randomBytes } from 'node:crypto';
import fastifyJwt from '@fastify/jwt';
import { hash, verify } from '@node-rs/argon2';
import Fastify from 'fastify';
import { Redis } from 'ioredis';

const { PORT, ACCOUNTS, PASSWORD, QUICK, REDIS_URL, SECRET } = process.env;
const ACCESS_SECONDS = 15 * 60;
const REFRESH_SECONDS = 14 * 24 * 3600;
const random = () => randomBytes(32).toString('base64url');

const redis = new Redis(REDIS_URL, { enableAutoPipelining: true });
// 2 is argon2id.
const hashed = (memoryCost) => hash(PASSWORD, { algorithm: 2, memoryCost, timeCost: 2, parallelism: 1 });
const usual = await hashed(19456);
const users = new Map(Array.from({ length: Number(ACCOUNTS) }, (_, number) => [`person${number}`, usual]));
// Logs in for sessions to be there: its logins are not measured.
users.set(QUICK, await hashed(8));

const app = Fastify();
await app.register(fastifyJwt, {
  secret: SECRET,
  sign: { expiresIn: ACCESS_SECONDS },
  trusted: async (_request, claims) => (await redis.exists(`denied:${claims.sid}`)) === 0,
});

async function issue(session) {
  const refresh = random();
  await redis.set(`refresh:${refresh}`, JSON.stringify(session), 'EX', REFRESH_SECONDS);
  return { access_token: app.jwt.sign(session), refresh_token: refresh };
}

app.post('/login', async (request, reply) => {
  const { username, password } = request.body;
  const stored = users.get(username);
  if (!stored || !(await verify(stored, password))) {
    return reply.code(401).send({ error: 'wrong name or password' });
  }
  return issue({ sub: username, sid: random() });
});

app.post('/refresh', async (request, reply) => {
  const session = await redis.getdel(`refresh:${request.body.refresh_token}`);
  if (!session) {
    return reply.code(401).send({ error: 'unknown refresh token' });
  }
  return issue(JSON.parse(session));
});

const guarded = { onRequest: (request) => request.jwtVerify() };

app.get('/me', guarded, async (request) => ({ username: request.user.sub }));

app.post('/logout', guarded, async (request) => {
  await redis.set(`denied:${request.user.sid}`, '', 'EX', ACCESS_SECONDS);
  await redis.del(`refresh:${request.body.refresh_token}`);
  return {};
});

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
