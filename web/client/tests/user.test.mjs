// The user in the state, the JSON of responses, new accounts and passwords.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAuth } from '../dist/latchet.js';
import { APP, World, accessToken, json, problem, settle, signedIn } from './world.mjs';

test('after a login the state names the user, without a request', async () => {
  const { world, auth } = await signedIn();

  assert.deepEqual(auth.state(), {
    status: 'signed-in', sessionId: 's1', user: { id: 'id of alice', username: 'alice', roles: ['editor'] },
  });
  assert.deepEqual(world.log.map(({ path }) => path), ['/v1/login']);
});

test('after a reload, and in another tab, the state names the user, too', async () => {
  const { world, tab, auth } = await signedIn();
  const other = world.tab().auth();
  await settle();
  assert.deepEqual(other.state(), auth.state());
  for (const each of [tab]) each.close();
  other.dispose();

  const later = world.tab().auth();
  await world.pass(50);

  assert.deepEqual(later.state().user, auth.state().user);
});

test('names and roles in any script arrive unchanged', async () => {
  for (const username of ['zoë', 'Ωmega', '李雷', 'crab 🦀', 'ÿ~?>>?', 'a"b\\c']) {
    const world = new World();
    world.server.roles = ['größe', username];
    const auth = world.tab().auth();

    await auth.login({ username, password: 'right' });

    assert.deepEqual(auth.state().user, { id: `id of ${username}`, username, roles: ['größe', username] });
  }
});

test('a renewal with the same user keeps the state, and changed roles change it', async () => {
  const { world, auth } = await signedIn();
  let changes = 0;
  auth.subscribe(() => { changes += 1; });
  const before = auth.state();
  await world.pass(900_000);
  assert.equal(auth.state(), before);

  world.server.roles = ['editor', 'admin'];
  assert.equal((await auth.fetch(`${APP}/api/things`)).status, 200);
  await settle();

  assert.deepEqual(auth.state(), { ...before, user: { ...before.user, roles: ['editor', 'admin'] } });
  assert.equal(changes, 1);
});

test('a change of roles during a request repeats the request', async () => {
  const { world, auth } = await signedIn();
  world.server.roles = ['admin'];

  const answer = await auth.fetch(`${APP}/api/things`, { method: 'POST', body: 'whole' });

  assert.equal(await answer.text(), 'whole');
  assert.equal(world.asked('/api/things').length, 2);
});

test('a response whose token is no JWT is no login', async () => {
  for (const token of ['', 'opaque', 'a.b.c', `a.${Buffer.from('no JSON').toString('base64url')}.c`]) {
    const world = new World();
    const auth = world.tab().auth();
    world.once('/v1/login', () => json(200, { access_token: token, expires_in: 900, session_id: 's', csrf_token: 'c' }));

    const login = auth.login({ username: 'alice', password: 'right' });

    await assert.rejects(login, { name: 'AuthError', code: 'unexpected_answer' });
    assert.equal(auth.state().status, 'signed-out');
  }
});


test('`json` returns the body of every 2xx, with the token', async () => {
  const { world, auth } = await signedIn();
  const sent = { name: 'Ada' };

  assert.deepEqual(await auth.json(`${APP}/api/things`, { method: 'POST', body: JSON.stringify(sent) }), sent);
  assert.ok(world.log.at(-1).token);
  for (const body of [[], {}, 0, false, null, '', 'text']) {
    world.once('/api/things', () => json(201, body));
    assert.deepEqual(await auth.json(`${APP}/api/things`), body);
  }
  world.once('/api/things', () => new Response(null, { status: 204 }));
  assert.equal(await auth.json(`${APP}/api/things`), undefined);
});

test('`json` repeats a request whose token was refused', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', () => problem(401, 'token_expired'));

  assert.equal(await auth.json(`${APP}/api/things`, { method: 'POST', body: '1' }), 1);

  assert.equal(world.asked('/v1/refresh').length, 1);
});

const refusals = {
  'a problem': [() => problem(409, 'conflict'), { status: 409, code: 'conflict', detail: 'about conflict' }],
  'a problem with a time': [
    () => problem(429, 'too_many_requests', { 'Retry-After': '7' }),
    { status: 429, code: 'too_many_requests', retryAfter: 7 },
  ],
  'the error of another service': [
    () => json(404, { detail: 'Not found' }),
    { status: 404, code: 'unexpected_answer', detail: 'Not found' },
  ],
  'a page of a proxy': [
    () => new Response('<h1>Bad Gateway</h1>', { status: 502 }),
    { status: 502, code: 'unexpected_answer', detail: 'unexpected_answer' },
  ],
  'a redirect': [() => new Response(null, { status: 304 }), { status: 304, code: 'unexpected_answer' }],
  'a captive portal': [() => new Response('<h1>Welcome</h1>'), { status: 200, code: 'unexpected_answer' }],
  'no network': [
    () => { throw new TypeError('Failed to fetch'); },
    { status: 0, code: 'network', detail: 'Failed to fetch' },
  ],
};

for (const [name, [answer, expected]] of Object.entries(refusals)) {
  test(`\`json\` is rejected by ${name}`, async () => {
    const { world, auth } = await signedIn();
    world.once('/api/things', answer);

    await assert.rejects(auth.json(`${APP}/api/things`), { name: 'AuthError', ...expected });
  });
}

test('without a browser `json` sends no token', async () => {
  const sent = [];
  const auth = createAuth({ baseUrl: '/' }, { fetch: async (...all) => { sent.push(all); return json(200, [1]); } });

  assert.deepEqual(await auth.json('https://app.example.org/public'), [1]);
  assert.deepEqual(sent, [['https://app.example.org/public', undefined]]);
});

test('`register` creates an account and starts no session', async () => {
  const world = new World();
  const auth = world.tab().auth();

  const account = await auth.register({ username: 'carol', password: 'right' });
  await assert.rejects(auth.register({ username: 'alice', password: 'right' }), { code: 'conflict', status: 409 });

  assert.deepEqual(account, { id: 'id of carol', username: 'carol', roles: [] });
  assert.deepEqual(JSON.parse(world.log[0].body), { username: 'carol', password: 'right' });
  assert.equal(auth.state().status, 'signed-out');
  await auth.login({ username: 'carol', password: 'right' });
  assert.deepEqual([auth.state().user.id, auth.state().user.username], [account.id, 'carol']);
});

test('`register` with an address announces a mail', async () => {
  const world = new World();
  const auth = world.tab().auth();

  const mail = await auth.register({ username: 'carol', password: 'right', email: 'carol@example.org' });

  assert.deepEqual(mail, { request: 'secret', expires_in: 3600 });
  assert.deepEqual(JSON.parse(world.log[0].body), { username: 'carol', password: 'right', email: 'carol@example.org' });
  assert.equal(auth.state().status, 'signed-out');
});

test('`resetPassword` sends the link and the new password, and no token', async () => {
  const { world, auth } = await signedIn();

  await assert.rejects(auth.resetPassword({ link: 'wrong', password: 'new' }), { code: 'not_found' });
  await auth.resetPassword({ link: 'right', password: 'new' });

  const sent = world.asked('/v1/password/reset');
  assert.deepEqual(JSON.parse(sent[1].body), { link: 'right', password: 'new' });
  assert.deepEqual(sent.map(({ token }) => token), [null, null]);
  // The server has ended all sessions of the user, and the next request notices it.
  await auth.json(`${APP}/api/things`).catch(() => {});
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'session_revoked' });
});

test('`resetPassword` sends a code with its request', async () => {
  const world = new World();
  const auth = world.tab().auth();
  const proof = { request: 'secret', code: '123456' };

  await assert.rejects(auth.resetPassword({ ...proof, code: '000000', password: 'new' }), { code: 'invalid_code', status: 400 });
  await auth.resetPassword({ ...proof, password: 'new' });

  assert.deepEqual(JSON.parse(world.log.at(-1).body), { ...proof, password: 'new' });
});

test('`call` sends requests to the server, with the token, also if `attachTo` does not name it', async () => {
  const { world, auth } = await signedIn();

  assert.deepEqual(await auth.call('POST', 'v1/things', { name: 'Ada' }), { name: 'Ada' });
  const sent = world.log.at(-1);
  assert.deepEqual([sent.url, sent.method, sent.token], [`${APP}/v1/things`, 'POST', await auth.token()]);
  assert.equal(await auth.call('DELETE', 'v1/things'), undefined);
  world.once('/v1/things', () => problem(409, 'conflict'));
  await assert.rejects(auth.call('GET', 'v1/things'), { name: 'AuthError', code: 'conflict' });
});
