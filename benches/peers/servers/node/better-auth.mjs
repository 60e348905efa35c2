// better-auth with e-mail and password on PostgreSQL, set up by its documentation. Its session is a row and
// a cookie, which is looked up at each check (the cache in the cookie is off, as by default).

import { createServer } from 'node:http';
import { hash, verify } from '@node-rs/argon2';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node';
import pg from 'pg';

const { PORT, ACCOUNTS, PASSWORD, QUICK, DATABASE_URL, IS_FIRST, SECRET } = process.env;

// 2 is argon2id.
const hashed = (memoryCost) => hash(PASSWORD, { algorithm: 2, memoryCost, timeCost: 2, parallelism: 1 });
// Hash of the accounts that sign up below.
let stored = await hashed(19456);

const auth = betterAuth({
  baseURL: `http://127.0.0.1:${PORT}`,
  secret: SECRET,
  database: new pg.Pool({ connectionString: DATABASE_URL }),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: async () => stored,
      verify: ({ hash, password }) => verify(hash, password),
    },
  },
  // The load is one address, and more than any person asks for.
  rateLimit: { enabled: false },
});

const signUp = (name) =>
  auth.api.signUpEmail({ body: { email: `${name}@bench.test`, password: PASSWORD, name } });

if (IS_FIRST) {
  await (await getMigrations(auth.options)).runMigrations();
  for (let number = 0; number < Number(ACCOUNTS); number += 1) await signUp(`person${number}`);
  // Logs in for sessions to be there: its logins are not measured.
  stored = await hashed(8);
  await signUp(QUICK);
}

async function me(request, response) {
  const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  response.statusCode = session ? 200 : 401;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ username: session?.user.name }));
}

const handler = toNodeHandler(auth);
createServer((request, response) => (request.url === '/me' ? me(request, response) : handler(request, response)))
  .listen(Number(PORT), '127.0.0.1');
