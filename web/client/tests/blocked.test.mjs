// Browsers that block storage, and refreshes that hang during a login.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAuth } from '../dist/latchet.js';
import { Locks, World, call, deferred, settle, signedIn } from './world.mjs';

const insecure = () => { throw new DOMException('The operation is insecure.', 'SecurityError'); };

/** Removes from a tab what a browser that blocks storage removes. */
const BLOCKS = {
  'tabs cannot exchange messages': ({ scope }) => { scope.BroadcastChannel = class { constructor() { insecure(); } }; },
  'cookies cannot be read': ({ scope }) => Object.defineProperty(scope.document, 'cookie', { get: insecure }),
  'locks are refused': ({ scope }) => { scope.navigator.locks = { request: async () => insecure() }; },
  'all of these are blocked': (tab) => Object.entries(BLOCKS).forEach(([name, block]) => name !== 'all of these are blocked' && block(tab)),
};

for (const [name, block] of Object.entries(BLOCKS)) {
  test(`if ${name}, the page starts signed out, and a user can sign in`, async () => {
    const world = new World();
    const tab = world.tab();
    block(tab);

    const auth = tab.auth();
    await world.pass(100);
    const before = auth.state();
    await auth.login({ username: 'alice', password: 'right' });

    assert.equal(before.status, 'signed-out');
    assert.equal(auth.state().status, 'signed-in');
    assert.equal((await call(auth)).status, 200);
    await world.pass(900_000);
    assert.equal((await call(auth)).status, 200);
    assert.equal(world.asked('/v1/refresh').length, 1);
    await auth.logout();
    assert.equal(auth.state().status, 'signed-out');
    auth.dispose();
  });
}

test('without stored cookies the session lasts as long as its access token', async () => {
  const world = new World();
  const tab = world.tab();
  BLOCKS['all of these are blocked'](tab);
  const auth = tab.auth();
  await auth.login({ username: 'alice', password: 'right' });
  world.cookies = { rt: '', csrf: '' };

  assert.equal((await call(auth)).status, 200);
  await world.pass(900_000);

  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'missing_token' });
});

for (const [name, locks] of [['without locks', undefined], ['with locks', new Locks()]]) {
  test(`a refresh that hangs is aborted by a login, ${name}`, async () => {
    const { world, tab } = await signedIn();
    tab.close();
    const late = deferred();
    world.once('/v1/refresh', (_, usual) => late.promise.then(usual));
    const other = world.tab({ locks });
    const auth = other.auth();
    await world.pass(50);

    const login = auth.login({ username: 'bob', password: 'right' });
    await world.pass(3000);
    // The refresh holds the lock, and the login waits for it no longer than that.
    await world.pass(30_000);
    await login;
    const cookies = { ...world.cookies };
    const session = auth.state().sessionId;
    late.resolve();
    await settle();

    assert.deepEqual(world.cookies, cookies);
    assert.equal(auth.state().sessionId, session);
    assert.equal(cookies.rt.split('.')[0], session);
    assert.equal((await call(auth)).status, 200);
  });
}

test('a refresh that hangs in another tab is aborted when that tab receives the login', async () => {
  const { world, tab, auth } = await signedIn();
  const late = deferred();
  world.once('/v1/refresh', (_, usual) => late.promise.then(usual));
  await world.pass(815_000);
  assert.equal(world.asked('/v1/refresh').length, 1);

  const other = world.tab().auth();
  await settle();
  await other.login({ username: 'bob', password: 'right' });
  await settle();
  const cookies = { ...world.cookies };
  late.resolve();
  await settle();

  assert.deepEqual(world.cookies, cookies);
  assert.equal(auth.state().sessionId, other.state().sessionId);
  tab.close();
});

test('a refused login does not end the session, which is renewed afterwards', async () => {
  const { world, auth } = await signedIn();
  const late = deferred();
  world.once('/v1/refresh', (_, usual) => late.promise.then(usual));
  await world.pass(815_000);

  await assert.rejects(auth.login({ username: 'bob', password: 'wrong' }), { code: 'invalid_credentials' });
  const [first, second] = [auth.token(), auth.token()];
  await world.pass(30_000);

  assert.equal(await first, await second);
  assert.equal(auth.state().status, 'signed-in');
  assert.equal((await call(auth)).status, 200);
  const keys = world.asked('/v1/refresh').map(({ key }) => key);
  assert.equal(new Set(keys).size, 1);
});

test('creating a client does not throw even if every browser feature does', () => {
  const world = new World();
  const tab = world.tab();
  BLOCKS['all of these are blocked'](tab);

  assert.doesNotThrow(() => createAuth({ baseUrl: '/' }, tab.scope).dispose());
});
