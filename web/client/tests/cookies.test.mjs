// The choice between several CSRF cookies, and the behavior when none of them belongs to the session.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, settle, signedIn } from './world.mjs';

const CREDENTIALS = { username: 'alice', password: 'right' };

for (const [base, prefix, cookies, sent] of [
  ['/', undefined, '__Host-latchet_csrf=new', 'new'],
  ['/', undefined, 'latchet_csrf=old; __Host-latchet_csrf=new', 'new'],
  ['/', undefined, '__Host-latchet_csrf=new; latchet_csrf=old', 'new'],
  ['/', undefined, 'latchet_csrf=only', 'only'],
  ['/', undefined, '__Host-latchet_csrf=other; __Host-latchet_443_csrf=own', 'own'],
  ['http://app.example.org:8080/', undefined, '__Host-latchet_csrf=https; latchet_csrf=http', 'http'],
  ['http://app.example.org:9080/', undefined, 'latchet_csrf=other; latchet_9080_csrf=own', 'own'],
  ['http://app.example.org:9080/', undefined, 'latchet_csrf=own; latchet_8080_csrf=other', 'own'],
  ['/', 'shop', '__Host-latchet_csrf=other; __Host-shop_csrf=own; shop_csrf=old', 'own'],
  ['/', undefined, '__Host-latchet_csrf=; latchet_csrf=a; my_latchet_csrf=no', 'a'],
]) {
  test(`of \`${cookies}\` the client at ${base} sends ${sent}`, async () => {
    const world = new World();
    const auth = world.tab({ cookies: () => cookies }).auth({ baseUrl: base, cookiePrefix: prefix });

    auth.token().catch(() => {});
    await world.pass(100);

    assert.equal(world.asked('/v1/refresh')[0].csrf, sent);
  });
}

test('after a wrong value the right one is tried', async () => {
  const { world, auth } = await signedIn();
  auth.dispose();
  const cookies = () => `__Host-latchet_csrf=planted; ${world.readable()}`;

  const later = world.tab({ cookies }).auth();
  await world.pass(100);

  assert.ok(await later.token());
  assert.deepEqual(world.asked('/v1/refresh').map(({ csrf }) => csrf), ['planted', world.cookies.csrf]);
  await world.pass(870_000);
  assert.equal(world.asked('/v1/refresh').length, 3, 'the wrong one is not tried again');
});

test('with only a wrong value a user can sign in, and stays signed in', async () => {
  const { world, auth } = await signedIn();
  auth.dispose();
  let planted = true;
  const cookies = () => (planted ? '__Host-latchet_csrf=planted' : `__Host-latchet_csrf=planted; ${world.readable()}`);
  const tab = world.tab({ cookies });
  const later = tab.auth();
  await world.pass(100);

  assert.equal(await later.token(), null);
  assert.deepEqual(later.state(), { status: 'signed-out', reason: 'csrf_failed' });
  await world.pass(300_000);
  await tab.focus();
  assert.equal(world.asked('/v1/refresh').length, 1, 'it is not retried forever');

  planted = false;
  await later.login(CREDENTIALS);
  assert.equal(later.state().status, 'signed-in');
  await world.pass(870_000);
  assert.equal(later.state().status, 'signed-in');
  assert.equal(world.asked('/v1/refresh').at(-1).csrf, world.cookies.csrf);
});

test('after a cookie is overwritten, the page stays signed in until the token expires, and the user can sign in again', async () => {
  const world = new World();
  let spoiled = false;
  const cookies = () => (spoiled ? '__Host-latchet_csrf=spoiled' : world.readable());
  const tab = world.tab({ cookies });
  const auth = tab.auth();
  await auth.login(CREDENTIALS);
  spoiled = true;

  await world.pass(880_000);
  assert.equal(auth.state().status, 'signed-in');
  assert.ok(await auth.token());
  await world.pass(60_000);
  await settle();
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'csrf_failed' });

  spoiled = false;
  await auth.login(CREDENTIALS);
  assert.ok(await auth.token());
});
