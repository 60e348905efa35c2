// The public interface: state, errors, the account, server-side rendering.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthError, createAuth, serverState } from '../dist/latchet.js';
import { Locks, World, call, deferred, problem, settle, signedIn } from './world.mjs';

test('the state is the same object until a login or logout', async () => {
  const world = new World();
  const auth = world.tab().auth();
  let told = 0;
  const leave = auth.subscribe(() => { told += 1; });
  assert.equal(auth.state(), auth.state());

  await auth.login({ username: 'alice', password: 'right' });
  await settle();
  const state = auth.state();
  assert.equal(told, 1);

  await world.pass(900_000);
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(auth.state(), state);
  assert.equal(told, 1);

  await auth.logout();
  await settle();
  assert.notEqual(auth.state(), state);
  assert.equal(told, 2);

  leave();
  await auth.login({ username: 'alice', password: 'right' });
  await settle();
  assert.equal(told, 2);
});

test('methods do not depend on `this`', async () => {
  const { auth } = await signedIn();
  const { state, subscribe, token, fetch, logout } = auth;

  subscribe(() => {});
  assert.ok(await token());
  assert.equal(state().status, 'signed-in');
  assert.equal((await call({ fetch })).status, 200);
  await logout();
  assert.equal(state().status, 'signed-out');
});

test('errors have a code, a status and a retry time', async () => {
  const world = new World();
  const auth = world.tab().auth();

  const error = await auth.login({ username: 'alice', password: 'wrong' }).catch((caught) => caught);
  assert.ok(error instanceof AuthError && error instanceof Error);
  assert.deepEqual(
    [error.name, error.code, error.status, error.message, error.retryAfter],
    ['AuthError', 'invalid_credentials', 401, 'about invalid_credentials', 0],
  );

  world.once('/v1/login', () => problem(429, 'too_many_requests', { 'Retry-After': '30' }));
  await assert.rejects(auth.login({ username: 'alice', password: 'right' }), { code: 'too_many_requests', retryAfter: 30 });
  world.once('/v1/login', () => { throw new TypeError('Failed to fetch'); });
  await assert.rejects(auth.login({ username: 'alice', password: 'right' }), { code: 'network', status: 0 });
  assert.equal(auth.state().status, 'signed-out');
});

test('re-authentication returns another token of the same session', async () => {
  const { world, auth } = await signedIn();
  const [before, state, cookies] = [await auth.token(), auth.state(), world.cookies];

  await assert.rejects(auth.reauthenticate('wrong'), { code: 'invalid_credentials' });
  assert.equal(await auth.token(), before);

  await auth.reauthenticate('right');
  const after = await auth.token();
  assert.notEqual(after, before);
  await call(auth);
  assert.equal(world.log.at(-1).token, after);
  assert.equal(auth.state(), state);
  assert.deepEqual(world.cookies, cookies);
  await world.pass(900_000);
  assert.equal(auth.state(), state, 'it is renewed like any other');
});

test('a re-authentication that completes after a logout starts no session', async () => {
  const { world, auth } = await signedIn();
  const late = deferred();
  world.once('/v1/reauthenticate', (_, usual) => late.promise.then(usual));

  const proving = auth.reauthenticate('right');
  await settle();
  await auth.logout();
  late.resolve();
  await proving.catch(() => {});

  assert.equal(await auth.token(), null);
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
});

test('after a password change every tab continues with the new tokens', async () => {
  const { world, auth } = await signedIn();
  const other = world.tab().auth();
  await settle();
  const [before, cookies] = [await other.token(), world.cookies];

  await auth.changePassword({ currentPassword: 'right', newPassword: 'better' });
  await settle();

  const after = await auth.token();
  assert.notEqual(after, before);
  assert.equal(await other.token(), after);
  assert.notEqual(world.cookies.csrf, cookies.csrf);
  assert.notEqual(world.cookies.rt, cookies.rt);
  await world.pass(900_000);
  assert.equal(auth.state().status, 'signed-in');
  assert.equal(other.state().status, 'signed-in');
});

test('a password change waits for a running refresh', async () => {
  const world = new World();
  const auth = world.tab({ locks: new Locks() }).auth();
  await auth.login({ username: 'alice', password: 'right' });
  const late = deferred();
  world.once('/v1/refresh', (_, usual) => late.promise.then(usual));
  await world.pass(811_000);
  assert.equal(world.asked('/v1/refresh').length, 1);

  const changing = auth.changePassword({ currentPassword: 'right', newPassword: 'better' });
  await settle();
  assert.equal(world.asked('/v1/me/password').length, 0);
  late.resolve();
  await changing;

  assert.equal(world.asked('/v1/me/password').length, 1);
  await world.pass(1_800_000);
  assert.equal(auth.state().status, 'signed-in');
});

test('sessions are listed and ended, and the password is changed', async () => {
  const { world, auth } = await signedIn();
  const [session] = await auth.sessions();
  assert.equal(session.current, true);

  await auth.revoke('another/../one');
  assert.equal(world.log.at(-1).path, '/v1/me/sessions/another%2F..%2Fone');

  await auth.changePassword({ currentPassword: 'right', newPassword: 'better' });
  assert.deepEqual(JSON.parse(world.log.at(-1).body), { current_password: 'right', new_password: 'better' });
  world.once('/v1/me/password', () => problem(400, 'weak_password'));
  await assert.rejects(auth.changePassword({ currentPassword: 'right', newPassword: 'x' }), { code: 'weak_password' });

  await auth.revoke(session.id);
  assert.deepEqual(auth.state(), { status: 'signed-out', reason: 'logout' });
  assert.deepEqual(world.cookies, { rt: '', csrf: '' });
});

test('a disposed client leaves no timers and listeners, and does not end the session', async () => {
  const { world, tab, auth } = await signedIn();
  await tab.show(false);
  await world.pass(900_000);
  const late = deferred();
  world.once('/v1/refresh', (_, usual) => late.promise.then(usual));
  const asked = auth.token();
  await settle();
  let told = 0;
  auth.subscribe(() => { told += 1; });

  auth.dispose();
  late.resolve();
  await asked;
  const requests = world.log.length;
  await tab.show();
  await tab.online();
  await world.pass(2_000_000);

  assert.equal(world.channels.size, 0);
  assert.equal(world.timers, 0);
  assert.equal(world.log.length, requests);
  assert.equal(told, 0);
  assert.ok(world.cookies.rt);
});

test('without a browser the client is inert', async () => {
  const sent = [];
  const scope = { fetch: async (...all) => { sent.push(all); return new Response('ok'); } };
  const auth = createAuth({ baseUrl: '/' }, scope);

  assert.equal(auth.state(), serverState());
  assert.deepEqual(serverState(), { status: 'unknown' });
  assert.equal(await auth.token(), null);
  auth.subscribe(() => {})();
  await auth.fetch('https://app.example.org/x', { method: 'POST' });
  assert.deepEqual(sent, [['https://app.example.org/x', { method: 'POST' }]]);
  for (const attempt of [
    auth.login({ username: 'a', password: 'b' }), auth.logout(), auth.sessions(), auth.revoke('x'),
    auth.changePassword({ currentPassword: 'a', newPassword: 'b' }),
    auth.reauthenticate('right'), auth.call('GET', 'v1/me'),
  ]) await assert.rejects(attempt, { code: 'inert' });
  auth.dispose();
  assert.equal(sent.length, 1);
});
