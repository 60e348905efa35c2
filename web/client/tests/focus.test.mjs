// The check of the session when a page comes to the front, and a server that cannot be reached.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, deferred, problem, settle, signedIn } from './world.mjs';

const MINUTE = 60_000;

const checks = (world) => world.asked('/v1/verify').length;

for (const event of ['focus', 'show']) {
  test(`on ${event} a page notices that its session was ended on another device`, async () => {
    const { world, tab, auth } = await signedIn();
    const other = world.tab({ visible: false }).auth();
    await world.pass(MINUTE);
    world.endSessions();

    await tab[event]();
    await settle();

    for (const each of [auth, other]) assert.deepEqual(each.state(), { status: 'signed-out', reason: 'session_revoked' });
    assert.equal(checks(world), 1);
    assert.equal(world.asked('/v1/refresh').length, 1);
  });
}

test('a session that lives is not refreshed by the check', async () => {
  const { world, tab, auth } = await signedIn();
  const state = auth.state();
  await world.pass(MINUTE);

  await tab.focus();

  assert.equal(checks(world), 1);
  assert.equal(world.log.at(-1).token, await auth.token());
  assert.deepEqual(world.asked('/v1/refresh'), []);
  assert.equal(auth.state(), state);
});

test('a user without roles has an empty list of them', async () => {
  const { world, tab, auth } = await signedIn();
  await world.pass(MINUTE);
  world.server.roles = [];

  await tab.focus();

  assert.deepEqual(auth.state().user.roles, []);
});

test('the check reads changed roles', async () => {
  const { world, tab, auth } = await signedIn();
  await world.pass(MINUTE);
  world.server.roles = ['admin'];

  await tab.focus();
  await settle();

  assert.deepEqual(auth.state().user.roles, ['admin']);
});

test('all tabs together check at most once a minute', async () => {
  const { world, tab } = await signedIn();
  const tabs = [tab, ...[1, 2, 3].map(() => world.tab())];
  for (const each of tabs.slice(1)) each.auth();
  await world.pass(MINUTE);

  for (let time = 0; time < 5; time += 1) {
    for (const each of tabs) {
      await each.show(false);
      await each.show();
      await each.focus();
    }
    await world.pass(10_000);
  }
  assert.equal(checks(world), 1);

  await world.pass(10_000);
  for (const each of tabs) await each.focus();
  assert.equal(checks(world), 2);
});

test('a page that was loaded, or that has refreshed, within a minute does not check', async () => {
  const { world, tab } = await signedIn();
  await world.pass(MINUTE - 1000);
  await tab.focus();
  await world.pass(790_000);
  assert.equal(world.asked('/v1/refresh').length, 1);
  await tab.focus();

  assert.equal(checks(world), 0);
});

test('a page that does not come to the front does not check', async () => {
  const { world, tab } = await signedIn();
  // Renewal times that are no whole number of milliseconds, so that timers fire early.
  world.random = 0.12345;
  await world.pass(3 * 900_000);
  await tab.online();
  await tab.show(false);
  await tab.focus();

  assert.equal(checks(world), 0);
});

test('a page that is signed out does not check', async () => {
  const { world, tab, auth } = await signedIn();
  await auth.logout();
  await world.pass(MINUTE);

  await tab.focus();

  assert.equal(checks(world), 0);
});

test('a short sleep counts, although the monotonic clock has stopped', async () => {
  const { world, tab, auth } = await signedIn();
  world.sleep(5 * MINUTE);
  world.endSessions();

  await tab.show();
  await settle();

  assert.equal(auth.state().status, 'signed-out');
});

const failures = {
  'no network': () => { throw new TypeError('Failed to fetch'); },
  'a server that is down': () => problem(503, 'unavailable'),
  'a throttle': () => problem(429, 'too_many_requests'),
  'a narrowed token': () => problem(403, 'insufficient_scope'),
  'a proxy that requires a password': () => new Response('Unauthorized', { status: 401 }),
  'a page without the route': () => new Response('<h1>Welcome</h1>', { status: 404 }),
};

for (const [name, answer] of Object.entries(failures)) {
  test(`a check that fails because of ${name} signs no user out`, async () => {
    const { world, tab, auth } = await signedIn();
    const state = auth.state();
    await world.pass(MINUTE);
    world.once('/v1/verify', answer);

    await tab.focus();
    await settle();

    assert.equal(checks(world), 1);
    assert.equal(auth.state(), state);
    assert.deepEqual(world.asked('/v1/refresh'), []);
    // A server in trouble is not asked at every change of the window.
    await tab.focus();
    assert.equal(checks(world), 1);
  });
}

test('a check without a response delays nothing', async () => {
  const { world, tab, auth } = await signedIn();
  await world.pass(MINUTE);
  const late = deferred();
  world.once('/v1/verify', (_, usual) => late.promise.then(usual));
  await tab.focus();

  assert.ok(await auth.token());
  await auth.logout();
  late.resolve();
  await settle();

  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
});

test('a server that cannot be reached is in the state, and one warning says so', async () => {
  for (const [answer, code] of [
    [() => { throw new TypeError('Failed to fetch'); }, 'network'],
    [() => problem(503, 'unavailable'), 'unavailable'],
    [() => new Response('<h1>It works!</h1>', { status: 404 }), 'unexpected_answer'],
  ]) {
    const { world, tab } = await signedIn();
    tab.close();
    for (let time = 0; time < 4; time += 1) world.once('/v1/refresh', answer);
    const auth = world.tab().auth();
    let changes = 0;
    auth.subscribe(() => { changes += 1; });

    await world.pass(5000);

    const state = auth.state();
    assert.equal(world.asked('/v1/refresh').length, 3);
    assert.equal(state.status, 'unknown');
    assert.equal(state.error.name, 'AuthError');
    assert.equal(state.error.code, code);
    assert.equal(changes, 1, 'the same object until it changes');
    assert.equal(world.warnings.length, 1);
    assert.equal(world.warnings[0].at(-1), state.error);

    await world.pass(30_000);
    assert.equal(auth.state().status, 'signed-in');
    assert.equal(changes, 2);
    assert.equal(world.warnings.length, 1);
  }
});

test('a server that cannot be reached later changes neither the state nor the console', async () => {
  const { world, auth } = await signedIn();
  const state = auth.state();
  world.once('/v1/refresh', () => problem(503, 'unavailable'));

  await world.pass(900_000);

  assert.equal(auth.state(), state);
  assert.deepEqual(world.warnings, []);
});
