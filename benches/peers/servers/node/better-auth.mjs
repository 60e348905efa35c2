// better-auth with e-mail and password on PostgreSQL, set up by its documentation. Its session is a row and
// a cookie, which is looked up at each check (the cache in the cookie is off, as by default).

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { hash, verify } from '@node-rs/argon2';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node';
import pg from 'pg';

const { PORT, NAME, PASSWORD, DATABASE_URL } = process.env;

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${PORT}`,
  secret: randomBytes(32).toString('hex'),
  database: new pg.Pool({ connectionString: DATABASE_URL }),
  emailAndPassword: {
    enabled: true,
    password: {
      // 2 is argon2id.
      hash: (password) => hash(password, { algorithm: 2, memoryCost: 19456, timeCost: 2, parallelism: 1 }),
      verify: ({ hash: stored, password }) => verify(stored, password),
    },
  },
  // The load is one address, and more than any person asks for.
  rateLimit: { enabled: false },
});
await (await getMigrations(auth.options)).runMigrations();
await auth.api.signUpEmail({ body: { email: `${NAME}@bench.test`, password: PASSWORD, name: NAME } });

async function me(request, response) {
  const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  response.statusCode = session ? 200 : 401;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ username: session?.user.name }));
}

const handler = toNodeHandler(auth);
createServer((request, response) => (request.url === '/me' ? me(request, response) : handler(request, response)))
  .listen(Number(PORT), '127.0.0.1');
