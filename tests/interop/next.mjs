// The recipe for Next.js, built and started, against a running Latchet without a grace period: no page that the
// server renders refreshes a token.
import { spawn, spawnSync } from 'node:child_process';
import { createServer, request as send } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import assert from 'node:assert/strict';

const { URL: base, NAME, PASSWORD } = process.env;
const folder = fileURLToPath(new URL('../../web/client/recipes/next', import.meta.url));
const next = `${folder}/node_modules/next/dist/bin/next`;

const listen = (server, port = 0) => new Promise((resolve) => {
  server.listen(port, '127.0.0.1', () => resolve(server.address().port));
});

const freePort = async () => {
  const socket = createSocket();
  const port = await listen(socket);
  await new Promise((resolve) => { socket.close(resolve); });
  return port;
};

/** Requests that reached Latchet. */
const log = [];
const recorder = createServer((incoming, outgoing) => {
  log.push(`${incoming.method} ${incoming.url}`);
  const { method, url, headers } = incoming;
  const forwarded = send(base + url, { method, headers: { ...headers, host: new URL(base).host } }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  incoming.pipe(forwarded);
});
const LATCHET = `http://127.0.0.1:${await listen(recorder)}`;

const env = { ...process.env, LATCHET, NEXT_TELEMETRY_DISABLED: '1' };
const built = spawnSync(process.execPath, [next, 'build'], { cwd: folder, env, encoding: 'utf8' });
assert.equal(built.status, 0, built.stdout + built.stderr);
assert.deepEqual(log, [], 'a build asks no server');
console.log('the recipe builds');

const port = await freePort();
const site = `http://127.0.0.1:${port}`;
const running = spawn(process.execPath, [next, 'start', '-H', '127.0.0.1', '-p', String(port)], {
  cwd: folder, env, stdio: ['ignore', 'inherit', 'inherit'],
});
process.on('exit', () => running.kill());
const deadline = Date.now() + 60_000;
while (!await fetch(site).then(({ ok }) => ok, () => false)) {
  assert.equal(running.exitCode, null, 'next has ended');
  assert.ok(Date.now() < deadline, 'next does not respond');
  await pause(100);
}

const json = { 'Content-Type': 'application/json' };
const login = await fetch(`${base}/v1/login`, {
  method: 'POST', headers: json, body: JSON.stringify({ username: NAME, password: PASSWORD, transport: 'cookie' }),
});
assert.equal(login.status, 200);
const { access_token, csrf_token } = await login.json();
const Cookie = login.headers.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; ');
assert.match(Cookie, /_rt=/);

log.length = 0;
for (let time = 0; time < 5; time += 1) {
  const page = await fetch(site, { headers: { Cookie, Accept: 'text/html' } });
  const html = await page.text();
  assert.equal(page.status, 200);
  assert.match(html, /Loading/);
  assert.ok(!html.includes(NAME), 'the page has nothing private');
  assert.deepEqual(page.headers.getSetCookie(), []);
}
assert.deepEqual(log, []);
console.log('a rendered page asks nobody and has nothing private');

// Without a grace period the first rotation would have ended the cookie.
const refreshed = await fetch(`${base}/v1/refresh`, {
  method: 'POST', headers: { ...json, Cookie, 'X-CSRF-Token': csrf_token }, body: '{}',
});
assert.equal(refreshed.status, 200);
console.log('the refresh token is still the one of the browser');

const things = (headers) => fetch(`${site}/api/things`, { headers });
const refused = await things({ Cookie });
assert.equal(refused.status, 401);
assert.equal((await refused.json()).code, 'missing_token');
assert.match(refused.headers.get('WWW-Authenticate'), /^Bearer/);
const answer = await things({ Authorization: `Bearer ${access_token}` });
assert.deepEqual([answer.status, await answer.json()], [200, [`a thing of ${NAME}`]]);
const logout = await fetch(`${base}/v1/logout`, { method: 'POST', headers: { Authorization: `Bearer ${access_token}` } });
assert.equal(logout.status, 204);
const late = await things({ Authorization: `Bearer ${access_token}` });
assert.deepEqual([late.status, (await late.json()).code], [401, 'token_revoked']);
assert.deepEqual([...new Set(log)], ['GET /v1/verify']);
console.log('a route of the server checks the token of its caller');

recorder.close();
recorder.closeAllConnections();
const away = await things({ Authorization: `Bearer ${access_token}` });
assert.deepEqual([away.status, (await away.json()).code, away.headers.get('Retry-After')], [503, 'unavailable', '1']);
console.log('without Latchet the response is 503');
process.exit(0);
