// The access token: its storage, its renewal, and its sharing between tabs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Locks, World, call, deferred, settle, signedIn } from './world.mjs';

test('the refresh token never leaves its cookie and nothing is stored', async () => {
  const { world, auth } = await signedIn();
  const seen = JSON.stringify([auth, auth.state()]);

  await call(auth);
  await world.pass(900_000);

  // The storages and the setter of `document.cookie` throw when they are touched.
  assert.equal(auth.state().status, 'signed-in');
  assert.deepEqual(world.asked('/v1/login').map(({ body }) => JSON.parse(body).transport), ['cookie']);
  assert.ok(!seen.includes(await auth.token()));
});

test('without a cookie no request is sent, and the page is signed out', async () => {
  const world = new World();
  const auth = world.tab().auth();

  assert.deepEqual(auth.state(), { status: 'signed-out' });
  assert.equal(await auth.token(), null);
  await world.pass(1000);
  assert.deepEqual(world.log, []);
});

test('a reload signs in again with the cookie', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  const auth = world.tab().auth();

  assert.deepEqual(auth.state(), { status: 'unknown' });
  await world.pass(50);

  assert.equal(auth.state().status, 'signed-in');
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('ten requests after expiry wait for one refresh', async () => {
  const { world, tab, auth } = await signedIn();
  await tab.show(false);
  await world.pass(900_000);

  const answers = await Promise.all(Array.from({ length: 10 }, () => call(auth)));

  assert.deepEqual(answers.map(({ status }) => status), Array(10).fill(200));
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(new Set(world.asked('/api/things').map(({ token }) => token)).size, 1);
});

test('a new token is shared with the other tabs', async () => {
  const { world, tab, auth } = await signedIn();
  const other = world.tab({ visible: false }).auth();
  await world.pass(50);
  assert.equal(await other.token(), await auth.token());
  await tab.show(true);

  await world.pass(899_000);

  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(await other.token(), await auth.token());
  assert.equal((await call(other)).status, 200);
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('a new tab asks the others before the server', async () => {
  const { world, tab: first, auth } = await signedIn();
  await first.show(false);
  await world.pass(600_000);
  const tab = world.tab();
  const other = tab.auth();

  assert.equal(await other.token(), await auth.token());
  assert.equal(world.asked('/v1/refresh').length, 0);

  // It received the age of the token, not an expiry time by the clock of another tab.
  await tab.show(false);
  await world.pass(299_000);
  await other.token();
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('a login in another tab changes the session of this one', async () => {
  const { world, auth } = await signedIn();
  const before = auth.state();

  await world.tab().auth().login({ username: 'bob', password: 'right' });
  await settle();

  assert.notEqual(auth.state().sessionId, before.sessionId);
});

test('a tab renews at 90 to 95 % of the token’s lifetime', async () => {
  for (const [random, share] of [[0, 0.9], [1, 0.95]]) {
    const { world, auth } = await signedIn();
    world.random = random;
    await auth.login({ username: 'alice', password: 'right' });

    await world.pass(share * 900_000 - 10);
    assert.equal(world.asked('/v1/refresh').length, 0);
    await world.pass(20);
    assert.equal(world.asked('/v1/refresh').length, 1);
  }
});

test('a hidden tab does not renew until it becomes visible', async () => {
  const { world, tab } = await signedIn();
  await tab.show(false);

  await world.pass(10_000_000);
  assert.equal(world.asked('/v1/refresh').length, 0);

  await tab.show();
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('a tab opened in the background sends no request until it is used', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  const background = world.tab({ visible: false });
  const auth = background.auth();
  await world.pass(1000);
  assert.equal(auth.state().status, 'unknown');
  assert.equal(world.asked('/v1/refresh').length, 0);

  assert.ok(await auth.token());
  assert.equal(auth.state().status, 'signed-in');
});

test('a change of the wall clock ends no token', async () => {
  for (const step of [86_400_000, -86_400_000]) {
    const { world, auth } = await signedIn();
    const token = await auth.token();

    world.wall += step;

    assert.equal(await auth.token(), token);
    assert.equal((await call(auth)).status, 200);
    assert.deepEqual(world.asked('/v1/refresh'), []);
  }
});

test('a tab renews after a sleep during which the monotonic clock stopped', async () => {
  for (const wake of ['show', 'focus', 'online']) {
    const { world, tab, auth } = await signedIn();
    const token = await auth.token();
    world.wall += 3_600_000;

    await tab[wake]();

    assert.notEqual(await auth.token(), token);
    assert.equal(world.asked('/v1/refresh').length, 1);
  }
});

test('a token lifetime of a month does not overflow the timer', async () => {
  const { world } = await signedIn({ life: 40 * 86_400 });

  await world.pass(30 * 86_400_000);
  assert.deepEqual(world.asked('/v1/refresh'), []);

  await world.pass(6 * 86_400_000);
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('a tab that does not get the lock continues without it', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  // A frozen tab holds the lock forever.
  const locks = {
    request: (_, { signal }) => new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    }),
  };
  const auth = world.tab({ locks }).auth();

  await world.pass(3049);
  assert.deepEqual(world.asked('/v1/refresh'), []);
  await world.pass(1);

  assert.equal(auth.state().status, 'signed-in');
});

test('a tab that gets the lock after another uses the token of that one', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  const locks = new Locks();
  const tabs = [1, 2, 3].map(() => world.tab({ locks }).auth());

  await world.pass(50);

  assert.deepEqual(tabs.map((auth) => auth.state().status), ['signed-in', 'signed-in', 'signed-in']);
  assert.equal(world.asked('/v1/refresh').length, 1);

  await tabs[0].logout();
  await settle();
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
});

test('no code of the page runs while the lock is held', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  let isTaken = false;
  const locks = {
    request: async (_name, _options, work) => {
      isTaken = true;
      await work();
      isTaken = false;
    },
  };
  const auth = world.tab({ locks }).auth();
  const seen = [];
  auth.subscribe(() => seen.push(isTaken));
  world.once('/v1/refresh', (_, usual) => { seen.push(isTaken); return usual(); });

  await world.pass(50);

  assert.deepEqual(seen, [true, false]);
});

test('a refresh without a response times out', async () => {
  const { world, tab, auth } = await signedIn();
  await tab.show(false);
  await world.pass(900_000);
  world.once('/v1/refresh', () => deferred().promise);
  const asked = auth.token().catch((error) => error);

  await world.pass(30_000);

  assert.equal((await asked).code, 'network');
  assert.equal(auth.state().status, 'signed-in');
});

test('a page of another host takes the CSRF value from the response', async () => {
  const world = new World();
  const page = world.tab({ hostname: 'www.example.org' });
  const auth = page.auth({ baseUrl: 'https://app.example.org' });
  assert.equal(auth.state().status, 'unknown');
  await world.pass(50);
  assert.equal(auth.state().status, 'signed-out');
  assert.deepEqual(world.log, []);

  await auth.login({ username: 'alice', password: 'right' });
  await world.pass(900_000);

  assert.equal(auth.state().status, 'signed-in');
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.deepEqual([...new Set(world.log.map(({ credentials }) => credentials))], ['include']);

  await auth.logout();
  await page.show();
  assert.equal(world.asked('/v1/refresh').length, 1);
});
