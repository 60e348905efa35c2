// The client of apps: its storage, and crashes at every moment of a refresh.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthError, createAuth } from '../dist/native.js';
import { APP, World, call, deferred, lose, problem, settle } from './world.mjs';

const NIGHT = 8 * 3_600_000;
const NAME = 'latchet.app.example.org';
const ALICE = { username: 'alice', password: 'right' };

/** Storage of one app, which survives its processes. */
class Device {
  items = new Map();
  /** Replacements for the next writes. */
  writes = [];

  getItem = async (name) => this.items.get(name) ?? null;

  setItem = async (name, value) => {
    await this.writes.shift()?.(value);
    this.items.set(name, value);
  };

  removeItem = async (name) => { this.items.delete(name); };

  get stored() {
    return JSON.parse(this.items.get(NAME) ?? '{}');
  }
}

/** Starts a process of the app. */
const start = (world, device, options = {}) => {
  const tab = world.tab();
  const auth = createAuth({ baseUrl: APP, attachTo: [`${APP}/api`], storage: device, ...options }, tab.scope);
  return { tab, auth };
};

/** A user is signed in in an app. */
const signedIn = async (options) => {
  const world = new World();
  const device = new Device();
  const app = start(world, device, options);
  await app.auth.login(ALICE);
  return { world, device, ...app };
};

const keys = (world) => world.asked('/v1/refresh').map(({ key }) => key);
const sentToken = ({ body }) => JSON.parse(body).refresh_token;

test('a login stores the refresh token, and nothing else of the session', async () => {
  const { world, device, auth } = await signedIn();

  assert.deepEqual(auth.state().user, { id: 'id of alice', username: 'alice', roles: ['editor'] });
  assert.deepEqual([...device.items.keys()], [NAME]);
  assert.deepEqual(device.stored, { refresh_token: 's1.0', device_token: 'device of alice' });
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
  assert.equal((await call(auth)).status, 200);
  assert.deepEqual([...new Set(world.asked('/v1/login').map(({ csrf, credentials }) => `${csrf} ${credentials}`))], ['null omit']);
});

test('the name of the item is one that SecureStore permits', async () => {
  const names = [];
  const device = { getItem: async (name) => { names.push(name); return null; }, setItem: async () => {}, removeItem: async () => {} };

  for (const baseUrl of ['http://localhost:8080', 'https://auth.example.org/below', 'http://[::1]:8080']) {
    const world = new World();
    start(world, device, { baseUrl });
    await world.pass(50);
  }

  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^[\w.-]+$/);
});

test('the next start of the app signs in with the storage', async () => {
  const { world, device, tab } = await signedIn();
  tab.close();

  const { auth } = start(world, device);
  assert.deepEqual(auth.state(), { status: 'unknown' });
  await world.pass(50);

  assert.equal(auth.state().user.username, 'alice');
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.deepEqual(device.stored, { refresh_token: 's1.1', device_token: 'device of alice' });
});

test('an app that was never signed in is signed out without a reason and a request', async () => {
  for (const text of [null, 'not JSON', 'null', '{}']) {
    const world = new World();
    const device = new Device();
    if (text !== null) device.items.set(NAME, text);
    const { auth } = start(world, device);

    assert.equal(await Promise.race([auth.token(), world.pass(100).then(() => 'late')]), null, text);

    assert.equal(auth.state().status, 'signed-out');
    assert.ok(!auth.state().reason);
    assert.deepEqual(world.log, []);
    assert.deepEqual(world.warnings, []);
  }
});

test('the key is stored before the refresh is sent, and removed with the response', async () => {
  const { world, device, tab, auth } = await signedIn();
  let atRequest;
  world.once('/v1/refresh', (_, usual) => {
    atRequest = device.stored;
    return usual();
  });

  await world.pass(810_000);

  assert.deepEqual(atRequest, { refresh_token: 's1.0', device_token: 'device of alice', key: keys(world)[0] });
  assert.deepEqual(device.stored, { refresh_token: 's1.1', device_token: 'device of alice' });
  await world.pass(810_000);
  assert.notEqual(keys(world)[1], keys(world)[0]);
  assert.equal(auth.state().status, 'signed-in');
  tab.close();
});

test('the new refresh token is stored before the new access token is used', async () => {
  const { world, device, auth } = await signedIn();
  const before = await auth.token();
  const write = deferred();
  device.writes = [undefined, () => write.promise];
  await world.pass(899_000);
  assert.equal(world.asked('/v1/refresh').length, 1);

  const asked = call(auth);
  await settle();
  assert.equal(world.asked('/api/things').length, 0);
  write.resolve();

  assert.equal((await asked).status, 200);
  assert.notEqual(world.asked('/api/things')[0].token, before);
  assert.equal(device.stored.refresh_token, 's1.1');
});

/** Ways to end the process during a refresh, so that the response is never stored. */
const crashes = {
  'after the key was stored': (world) => world.once('/v1/refresh', () => deferred().promise),
  'after the server has rotated': (world) => world.once('/v1/refresh', (_, usual) => {
    usual();
    return deferred().promise;
  }),
  'before the response was stored': (_, device) => { device.writes = [undefined, () => deferred().promise]; },
};

for (const [name, crash] of Object.entries(crashes)) {
  test(`after a crash ${name} the next start repeats the refresh, even on the next day`, async () => {
    const { world, device, tab } = await signedIn();
    crash(world, device);
    await world.pass(810_000);
    tab.close();
    world.sleep(NIGHT);
    device.writes = [];

    const { auth } = start(world, device);
    await world.pass(50);

    assert.equal(auth.state().status, 'signed-in');
    assert.equal((await call(auth)).status, 200);
    const [first, second] = world.asked('/v1/refresh');
    assert.equal(sentToken(second), sentToken(first));
    assert.equal(second.key, first.key);
    assert.deepEqual(device.stored, { refresh_token: 's1.1', device_token: 'device of alice' });
  });
}

test('without the stored key, a crash after the rotation would end the session', async () => {
  const { world, device, tab } = await signedIn();
  crashes['after the server has rotated'](world);
  await world.pass(810_000);
  tab.close();
  world.sleep(NIGHT);
  const { key, ...rest } = device.stored;
  device.items.set(NAME, JSON.stringify(rest));

  const { auth } = start(world, device);
  await world.pass(50);

  assert.ok(key);
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'refresh_reused' });
});

test('a lost response is repeated with the same key by the running app', async () => {
  const { world, auth } = await signedIn();
  world.once('/v1/refresh', lose(world));
  await world.pass(810_000);
  world.sleep(NIGHT);

  await world.pass(1000);

  assert.equal(auth.state().status, 'signed-in');
  assert.equal(keys(world)[1], keys(world)[0]);
});

const fails = async () => { throw new Error('the Keychain is locked'); };

test('a refresh token that cannot be stored is not used, and the refresh is repeated', async () => {
  const { world, device, auth } = await signedIn();
  const before = await auth.token();
  device.writes = [undefined, fails];
  await world.pass(899_000);

  await world.pass(1000);
  const token = await auth.token();

  assert.notEqual(token, before);
  assert.equal(keys(world).length, 2);
  assert.equal(keys(world)[1], keys(world)[0]);
  assert.equal(device.stored.refresh_token, 's1.1');
});

test('a key that cannot be stored is not used', async () => {
  const { world, device, tab, auth } = await signedIn();
  device.writes = [fails];
  await world.pass(815_000 - 6000);
  assert.deepEqual(keys(world), []);
  await world.pass(1000);
  assert.deepEqual(keys(world), []);

  await world.pass(1000);

  assert.equal(keys(world).length, 1);
  assert.equal(auth.state().status, 'signed-in');
  tab.close();
});

test('a storage that cannot be read signs no user out', async () => {
  const { world, device, tab } = await signedIn();
  tab.close();
  const { getItem } = device;
  device.getItem = fails;
  const { auth } = start(world, device);

  await world.pass(50);
  assert.equal(auth.state().status, 'unknown');
  assert.equal(auth.state().error.code, 'storage');
  assert.ok(auth.state().error instanceof AuthError);
  assert.equal(world.warnings.length, 1);
  await assert.rejects(auth.logout(), { name: 'AuthError', code: 'storage' });
  assert.equal(device.stored.refresh_token, 's1.0');

  device.getItem = getItem;
  await world.pass(1000);
  assert.equal(auth.state().status, 'signed-in');
});

test('a login that cannot be stored is rejected, and ends its session', async () => {
  const world = new World();
  const device = new Device();
  device.writes = [fails];
  const { auth } = start(world, device);

  await assert.rejects(auth.login(ALICE), { name: 'AuthError', code: 'storage', detail: 'the Keychain is locked' });
  await settle();

  assert.equal(sentToken(world.asked('/v1/logout')[0]), 's1.0');
  await world.pass(100);
  assert.equal(auth.state().status, 'signed-out');
});

test('a logout ends the session and removes its token', async () => {
  for (const wait of [0, 900_000]) {
    const { world, device, auth } = await signedIn();
    if (wait) {
      for (let time = 0; time < 9; time += 1) world.once('/v1/refresh', () => problem(503, 'unavailable'));
      await world.pass(wait);
    }

    await auth.logout();
    await settle();

    assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
    assert.deepEqual(device.stored, { device_token: 'device of alice' });
    const sent = world.asked('/v1/logout')[0];
    assert.equal(sent.token === null, wait > 0);
    assert.equal(sentToken(sent), wait > 0 ? 's1.0' : undefined);
    // The account knows this device.
    await auth.login(ALICE);
    assert.equal(JSON.parse(world.asked('/v1/login')[1].body).device_token, 'device of alice');
  }
});

test('a logout at the start of the app ends the stored session', async () => {
  const { world, device, tab } = await signedIn();
  tab.close();
  const { auth } = start(world, device);

  await auth.logout();
  await settle();

  assert.equal(sentToken(world.asked('/v1/logout')[0]), 's1.0');
  assert.equal(device.stored.refresh_token, undefined);
});

test('a logout that did not reach the server removes nothing', async () => {
  const { world, device, auth } = await signedIn();
  world.once('/v1/logout', () => { throw new TypeError('Network request failed'); });

  await assert.rejects(auth.logout(), { code: 'network' });

  assert.equal(device.stored.refresh_token, 's1.0');
  assert.equal(auth.state().status, 'signed-in');
});

test('a refresh that returns after the logout stores nothing', async () => {
  for (const moment of ['response', 'write']) {
    const { world, device, auth } = await signedIn();
    const late = deferred();
    const answerLate = (_, usual) => {
      const answer = usual();
      return late.promise.then(() => answer);
    };
    if (moment === 'response') world.once('/v1/refresh', answerLate);
    else device.writes = [undefined, () => late.promise];
    await world.pass(810_000);

    await auth.logout();
    late.resolve();
    await settle();

    assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' }, moment);
    assert.equal(await auth.token(), null);
    assert.equal(device.stored.refresh_token, undefined, moment);
  }
});

test('a login replaces the session of the app, and ends it', async () => {
  const { world, device, auth } = await signedIn();

  await auth.login({ username: 'bob', password: 'right' });
  await settle();

  assert.equal(auth.state().user.username, 'bob');
  assert.equal(sentToken(world.asked('/v1/logout')[0]), 's1.0');
  assert.equal(device.stored.refresh_token, `${auth.state().sessionId}.0`);
});

test('a session that the server ended is removed', async () => {
  const { world, device, auth } = await signedIn();
  world.endSessions();

  await call(auth);
  await settle();

  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'session_revoked' });
  assert.deepEqual(device.stored, { device_token: 'device of alice' });
});

test('a password change stores the new refresh token', async () => {
  const { world, device, tab, auth } = await signedIn();

  await auth.changePassword({ currentPassword: 'right', newPassword: 'better' });
  assert.equal(device.stored.refresh_token, 's1.1');
  await auth.reauthenticate('right');
  assert.equal(device.stored.refresh_token, 's1.1');
  tab.close();
  world.sleep(NIGHT);

  const later = start(world, device).auth;
  await world.pass(50);
  assert.equal(later.state().status, 'signed-in');
});

test('an app that comes to the front notices that its session has ended', async () => {
  let toFront;
  let isSubscribed = false;
  const onForeground = (listener) => {
    toFront = listener;
    isSubscribed = true;
    return () => { isSubscribed = false; };
  };
  const { world, device, auth } = await signedIn({ onForeground });
  await world.pass(60_000);
  world.endSessions();

  toFront();
  await settle();

  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'session_revoked' });
  assert.equal(world.asked('/v1/verify').length, 1);
  assert.equal(isSubscribed, true);
  auth.dispose();
  assert.equal(isSubscribed, false);
  assert.equal(device.stored.refresh_token, undefined);
});

test('a disposed client leaves the session in the storage', async () => {
  const { world, device, auth } = await signedIn();

  auth.dispose();
  await settle();

  assert.equal(device.stored.refresh_token, 's1.0');
  await world.pass(40_000);
  assert.equal(world.timers, 0);
});

test('a device without random values is reported at once', () => {
  const { scope } = new World().tab();

  assert.throws(() => createAuth({ baseUrl: APP, storage: new Device() }, { ...scope, crypto: undefined }), /expo-crypto/);
  assert.doesNotThrow(() =>
    createAuth({ baseUrl: APP, storage: new Device(), crypto: globalThis.crypto }, { ...scope, crypto: undefined }));
});
