// Events that end the session of a page, and failures that do not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP, World, call, deferred, json, problem, settle, signedIn } from './world.mjs';

/** A user is signed in, and the access token has expired in a hidden tab. */
const expired = async () => {
  const found = await signedIn();
  await found.tab.show(false);
  await found.world.pass(900_000);
  return found;
};

const failures = {
  'a throttle': [() => problem(429, 'too_many_requests'), 'too_many_requests'],
  'a server that is down': [() => problem(503, 'unavailable'), 'unavailable'],
  'a server error': [() => problem(500, 'internal'), 'internal'],
  'a proxy without a server': [() => new Response('<h1>Bad Gateway</h1>', { status: 502 }), 'unexpected_answer'],
  'a proxy that requires a password': [() => new Response('Unauthorized', { status: 401 }), 'unexpected_answer'],
  'a gateway with its own codes': [() => json(401, { code: 'UNAUTHORIZED', message: 'no' }), 'unexpected_answer'],
  'a captive portal': [() => new Response('<h1>Welcome</h1>'), 'unexpected_answer'],
  'a captive portal in JSON': [() => json(200, {}), 'unexpected_answer'],
  'a wrong path': [() => problem(404, 'not_found'), 'not_found'],
  'a foreign origin': [() => problem(403, 'csrf_failed'), 'csrf_failed'],
  'no network': [() => { throw new TypeError('Failed to fetch'); }, 'network'],
};

for (const [name, [answer, code]] of Object.entries(failures)) {
  test(`${name} does not sign the user out`, async () => {
    const { world, auth } = await expired();
    const state = auth.state();
    world.once('/v1/refresh', answer);

    await assert.rejects(auth.token(), { name: 'AuthError', code });
    assert.equal(auth.state(), state);
    // The next try waits, and then succeeds.
    await assert.rejects(call(auth), { name: 'AuthError', code });
    assert.equal(world.asked('/v1/refresh').length, 1);
    await world.pass(1000);
    assert.equal((await call(auth)).status, 200);
    // The failure was no response of the server, so the same refresh was repeated.
    const [first, second] = world.asked('/v1/refresh');
    assert.equal(second.key, first.key);
  });
}

test('a valid token is used while it cannot be renewed', async () => {
  const { world, auth } = await signedIn();
  const token = await auth.token();
  world.once('/v1/refresh', () => problem(503, 'unavailable', { 'Retry-After': '120' }));

  await world.pass(890_000);
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(await auth.token(), token);
  assert.equal((await call(auth)).status, 200);

  await world.pass(11_000);
  await assert.rejects(auth.token(), { code: 'unavailable' });
  assert.equal(auth.state().status, 'signed-in');
});

test('`Retry-After` is respected, in seconds and as a date', async () => {
  for (const format of [() => '120', (world) => new Date(Math.ceil(world / 1000) * 1000 + 120_000).toUTCString()]) {
    const { world, tab, auth } = await expired();
    world.once('/v1/refresh', () => problem(429, 'too_many_requests', { 'Retry-After': format(world.wall) }));
    const error = await auth.token().catch((caught) => caught);
    assert.ok(error.retryAfter >= 120 && error.retryAfter < 122, String(error.retryAfter));

    await tab.show();
    await tab.online();
    await world.pass(119_000);
    await assert.rejects(auth.token(), { code: 'too_many_requests' });
    assert.equal(world.asked('/v1/refresh').length, 1);

    await world.pass(3000);
    assert.ok(await auth.token());
  }
});

test('the pauses between retries grow to one minute', async () => {
  const { world, tab } = await expired();
  for (let time = 0; time < 12; time += 1) world.once('/v1/refresh', () => problem(503, 'unavailable'));
  const times = [];
  world.once('/v1/refresh', (_, usual) => usual());
  await tab.show();
  for (let time = 0; time < 400; time += 1) {
    const before = world.asked('/v1/refresh').length;
    await world.pass(1000);
    if (world.asked('/v1/refresh').length > before) times.push(time);
  }

  const gaps = times.slice(1).map((time, index) => time - times[index]);
  assert.deepEqual(gaps.slice(0, 8), [2, 4, 8, 16, 32, 60, 60, 60]);
});

test('a page that is online again retries at once', async () => {
  const { world, tab, auth } = await expired();
  await tab.show(true);
  await world.pass(2000);
  world.once('/v1/refresh', () => { throw new TypeError('Failed to fetch'); });
  await tab.show(false);
  await world.pass(900_000);
  await assert.rejects(auth.token(), { code: 'network' });
  await tab.show();

  await tab.online();

  assert.ok(await auth.token());
});

test('while the server is down at the start, the state is unknown, and the client retries', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  world.once('/v1/refresh', () => problem(503, 'unavailable'));
  const auth = world.tab().auth();

  await world.pass(50);
  assert.equal(auth.state().status, 'unknown');

  await world.pass(1000);
  assert.equal(auth.state().status, 'signed-in');
});

test('a timer that fires a little early is set again', async () => {
  const wakes = {
    'at the start': async ({ world, tab }) => {
      tab.close();
      world.tab().auth();
      await world.pass(50);
    },
    'after a sleep': async ({ world, tab }) => {
      world.sleep(3_600_000);
      await tab.focus();
    },
  };
  for (const [when, wake] of Object.entries(wakes)) {
    const found = await signedIn();
    const { world } = found;
    // The pause is not a whole number of milliseconds.
    world.random = 0.12345;
    world.once('/v1/refresh', () => problem(503, 'unavailable'));
    await wake(found);
    assert.equal(world.asked('/v1/refresh').length, 1, when);

    await world.pass(1000);

    assert.equal(world.asked('/v1/refresh').length, 2, when);
  }
});

test('a session that the server ended signs all tabs out, and causes no further requests', async () => {
  const { world, tab, auth } = await signedIn();
  const other = world.tab().auth();
  await world.pass(50);
  world.endSessions();

  const answer = await call(auth);
  await settle();

  assert.equal(answer.status, 401);
  assert.equal((await answer.json()).code, 'token_revoked');
  for (const each of [auth, other]) assert.deepEqual(each.state(), { status: 'signed-out', reason: 'session_revoked' });
  const asked = world.log.length;
  await tab.show();
  assert.equal(await auth.token(), null);
  await world.pass(2_000_000);
  assert.equal(world.log.length, asked);
});

test('a refusal of an older session does not end a newer one', async () => {
  const { world, auth } = await expired();
  world.once('/v1/refresh', () => {
    world.cookies = { rt: 's-new', csrf: 'csrf-s-new' };
    return problem(401, 'session_revoked');
  });

  await assert.rejects(auth.token(), { code: 'session_revoked' });
  assert.equal(auth.state().status, 'signed-in');

  await world.pass(1000);
  await auth.token();
  assert.equal(auth.state().sessionId, 's-new');
});

test('a logout signs out all tabs and leaves no cookie', async () => {
  const { world, auth } = await signedIn();
  const other = world.tab().auth();
  await world.pass(50);

  await auth.logout();
  await settle();

  for (const each of [auth, other]) {
    assert.deepEqual(each.state(), { status: 'signed-out', reason: 'logout' });
    assert.equal(await each.token(), null);
  }
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
});

test('a refresh that returns after the logout is discarded, and its cookies are cleared', async () => {
  for (const hasToken of [true, false]) {
    const { world, tab } = await signedIn();
    tab.close();
    const auth = world.tab().auth();
    if (hasToken) await world.pass(50);
    const late = deferred();
    world.once('/v1/refresh', async (_, usual) => {
      const early = world.cookies;
      const answer = usual();
      await late.promise;
      world.cookies = early;
      return answer;
    });
    await world.pass(hasToken ? 810_000 : 50);
    await auth.logout();
    assert.equal(auth.state().status, 'signed-out');

    late.resolve();
    await settle();

    assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
    assert.equal(await auth.token(), null);
    assert.deepEqual(world.cookies, { rt: '', csrf: '' });
  }
});

test('a shared token of an ended session is ignored', async () => {
  const { world, auth } = await signedIn();
  const stale = { kind: 'asked', grant: { token: 't', sid: auth.state().sessionId, csrf: 'c', life: 900_000, age: 0 } };
  await auth.logout();

  const tab = world.tab();
  new tab.scope.BroadcastChannel(`latchet:${APP}/`).postMessage(stale);
  await settle();

  assert.equal(auth.state().status, 'signed-out');
});

test('a logout that did not reach the server ends no session', async () => {
  const { world, auth } = await signedIn();
  const state = auth.state();
  for (const [answer, code] of [
    [() => { throw new TypeError('Failed to fetch'); }, 'network'],
    [() => problem(503, 'unavailable'), 'unavailable'],
  ]) {
    world.once('/v1/logout', answer);

    await assert.rejects(auth.logout(), { name: 'AuthError', code });
    assert.equal(auth.state(), state);
    assert.equal((await call(auth)).status, 200);
  }
});

test('a page with an expired token logs out with its cookie', async () => {
  const { world, auth } = await expired();
  await auth.logout();
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
  assert.equal(world.asked('/v1/logout').at(-1).token, null);

  // By the server's clock it may have expired earlier than by the client's.
  const ahead = await signedIn();
  ahead.world.once('/v1/logout', () => problem(401, 'token_expired'));
  await ahead.auth.logout();
  assert.deepEqual(ahead.world.cookies, { rt: '', csrf: '' });
});

test('a logout everywhere gets a valid token first', async () => {
  const { world, auth } = await expired();

  await auth.logout({ everywhere: true });

  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(world.asked('/v1/logout/all').length, 1);
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
});

test('a tab that was frozen during a logout notices it when it wakes', async () => {
  const { world, auth } = await signedIn();
  const tab = world.tab({ visible: false });
  const frozen = tab.auth();
  await world.pass(50);
  world.channels.forEach((channel) => { channel.onmessage = null; });
  await auth.logout();
  assert.equal(frozen.state().status, 'signed-in');

  await tab.show();

  assert.equal(frozen.state().status, 'signed-out');
});

test('a tab that was frozen during a login notices it when it wakes', async () => {
  const world = new World();
  const tab = world.tab({ visible: false });
  const frozen = tab.auth();
  world.channels.forEach((channel) => { channel.onmessage = null; });
  await world.tab().auth().login({ username: 'alice', password: 'right' });
  assert.equal(frozen.state().status, 'signed-out');

  await tab.show();

  assert.equal(frozen.state().status, 'signed-in');
});
