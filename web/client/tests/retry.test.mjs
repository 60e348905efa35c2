// A refresh whose response was lost, and the key of its retries.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, call, lose, settle, signedIn } from './world.mjs';

const NIGHT = 8 * 3_600_000;

const keys = (world) => world.asked('/v1/refresh').map(({ key }) => key);

/** A user is signed in in two tabs; the first one has lost the response to its refresh. */
const lost = async () => {
  const { world, tab, auth } = await signedIn();
  const otherTab = world.tab({ visible: false });
  const other = otherTab.auth();
  await world.pass(50);
  world.once('/v1/refresh', lose(world));
  await world.pass(810_000);
  assert.equal(keys(world).length, 1);
  return { world, tab, auth, otherTab, other };
};

test('each refresh has a new key', async () => {
  const { world } = await signedIn();

  await world.pass(3 * 900_000);

  assert.equal(keys(world).length, 3);
  assert.equal(new Set(keys(world)).size, 3);
  for (const key of keys(world)) assert.match(key, /^[!-~]{16,255}$/);
});

test('a retry repeats the key, even after a sleep during which the monotonic clock stopped', async () => {
  for (const wake of ['show', 'focus', 'online']) {
    const { world, tab, auth } = await lost();
    const state = auth.state();
    world.sleep(NIGHT);

    await tab[wake]();
    await world.pass(1000);

    assert.equal(auth.state(), state);
    assert.equal((await call(auth)).status, 200);
    assert.equal(keys(world).length, 2);
    assert.equal(keys(world)[1], keys(world)[0]);

    await world.pass(900_000);
    assert.equal(auth.state(), state);
    assert.notEqual(keys(world)[2], keys(world)[0]);
  }
});

test('several lost responses over eight hours sign no user out', async () => {
  const { world, tab, auth } = await lost();
  for (let time = 0; time < 3; time += 1) world.once('/v1/refresh', lose(world));

  for (let time = 0; time < 4; time += 1) {
    world.sleep(NIGHT / 4);
    await tab.show();
    // By then the pause is over.
    await world.pass(1000 * 2 ** time);
  }

  assert.equal(keys(world).length, 5);
  assert.equal(new Set(keys(world)).size, 1);
  assert.equal(auth.state().status, 'signed-in');
  assert.equal((await call(auth)).status, 200);
});

test('another tab retries with the same key', async () => {
  const { world, tab, otherTab, other } = await lost();
  tab.close();
  world.sleep(NIGHT);

  await otherTab.show();

  assert.equal(other.state().status, 'signed-in');
  assert.equal((await call(other)).status, 200);
  assert.equal(keys(world)[1], keys(world)[0]);
});

/** The only tab has lost the response to its first refresh, so it has a key and no token. */
const lostAtStart = async () => {
  const { world, tab: before } = await signedIn();
  before.close();
  const tab = world.tab();
  tab.auth();
  world.once('/v1/refresh', lose(world));
  await world.pass(50);
  return { world, tab, otherTab: before };
};

test('a new tab receives the key from any tab that has it', async () => {
  for (const begin of [lost, lostAtStart]) {
    const { world, tab, otherTab } = await begin();
    const opened = world.tab({ visible: false });
    const auth = opened.auth();
    await settle();
    tab.close();
    otherTab.close();
    world.sleep(NIGHT);

    await opened.show();
    await world.pass(50);

    assert.equal(auth.state().status, 'signed-in');
    assert.equal(keys(world)[1], keys(world)[0]);
  }
});

test('a token that another tab shares late does not end the key of a refresh', async () => {
  const { world, tab } = await signedIn();
  await tab.show(false);
  const opened = world.tab();
  const auth = opened.auth();
  const hear = opened.deafen();
  world.once('/v1/refresh', lose(world));
  await world.pass(50);
  assert.equal(auth.state().status, 'unknown');
  hear();
  assert.equal(auth.state().status, 'signed-in');
  tab.close();
  world.sleep(NIGHT);

  await opened.show();
  await world.pass(1000);

  assert.equal(auth.state().status, 'signed-in');
  assert.equal(keys(world)[1], keys(world)[0]);
});

test('a token from another tab, received during a refresh, does not end the key of that refresh', async () => {
  const { world, tab, auth } = await signedIn();
  const other = world.tab({ visible: false }).auth();
  await tab.show(false);
  await world.pass(900_000);
  const hear = tab.deafen();
  await other.token();
  world.once('/v1/refresh', (entry, usual) => {
    hear();
    return lose(world)(entry, usual);
  });
  assert.ok(await auth.token(), 'the token of the other tab');
  assert.equal(keys(world).length, 2);
  await world.pass(1000);
  world.sleep(NIGHT);

  await tab.show();

  assert.equal(auth.state().status, 'signed-in');
  assert.equal(keys(world)[2], keys(world)[1]);
});

test('a response to one tab ends the key in all tabs', async () => {
  const { world, tab, auth, otherTab, other } = await lost();
  await world.pass(1000);
  assert.equal(keys(world).length, 2);
  await tab.show(false);
  await world.pass(900_000);

  await otherTab.show();

  assert.equal(keys(world).length, 3);
  assert.notEqual(keys(world)[2], keys(world)[0]);
  assert.equal(await other.token(), await auth.token());
});

test('the next login does not use the key of the last one', async () => {
  const { world, tab, auth } = await lost();
  await tab.show(false);
  await auth.login({ username: 'bob', password: 'right' });
  await tab.show();

  await world.pass(900_000);

  assert.equal(keys(world).length, 2);
  assert.notEqual(keys(world)[1], keys(world)[0]);
});

test('after a reload of the only tab the key is lost, and only the grace period protects the session', async () => {
  for (const [pause, status] of [[5000, 'signed-in'], [20_000, 'signed-out']]) {
    const { world, tab } = await signedIn();
    world.once('/v1/refresh', lose(world));
    await world.pass(810_000);
    tab.close();
    world.sleep(pause);
    const auth = world.tab().auth();

    await world.pass(50);

    assert.equal(auth.state().status, status);
    assert.notEqual(keys(world)[1], keys(world)[0]);
  }
});

test('a thief with only the cookie causes the end of the session', async () => {
  const { world, tab, auth } = await lost();
  const stolen = world.cookies;
  world.sleep(NIGHT);
  const thief = new World();
  thief.server = world.server;
  thief.cookies = stolen;
  const his = thief.tab().auth();
  await thief.pass(50);

  await tab.show();
  await world.pass(1000);

  assert.deepEqual(his.state(), { status: 'signed-out', reason: 'refresh_reused' });
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'session_revoked' });
});
