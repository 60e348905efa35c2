// Requests of the page: the targets of the token, and the requests that are repeated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP, call, deferred, problem, signedIn } from './world.mjs';

const bearer = (error) => ({ 'WWW-Authenticate': `Bearer error="${error}"` });
const refused = () => problem(401, 'token_expired', bearer('invalid_token'));

const form = new FormData();
form.append('name', 'Ada');
form.append('file', new Blob(['bytes of a file']), 'a.txt');

const bodies = {
  'a text': () => ({ body: '{"n":1}' }),
  'a form': () => ({ body: new URLSearchParams({ a: '1', b: 'ö' }) }),
  'a multipart form': () => ({ body: form }),
  'a blob': () => ({ body: new Blob(['x'.repeat(100_000)]) }),
  'bytes': () => ({ body: new Uint8Array([1, 2, 3]) }),
  'a stream': () => ({ body: new Blob(['s'.repeat(100_000)]).stream(), duplex: 'half' }),
};

for (const [name, init] of Object.entries(bodies)) {
  test(`${name} arrives complete when the request is repeated`, async () => {
    const { world, auth } = await signedIn();
    world.once('/api/things', refused);

    const answer = await call(auth, { method: 'POST', ...init() });

    assert.equal(answer.status, 200);
    const [first, second] = world.asked('/api/things');
    assert.ok(first.body.length > 0);
    assert.equal(second.body, first.body);
    assert.equal(second.type, first.type);
    assert.notEqual(second.token, first.token);
    assert.equal(world.asked('/v1/refresh').length, 1);
  });
}

test('a `Request` arrives complete when it is repeated', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', refused);

  await auth.fetch(new Request(`${APP}/api/things`, { method: 'PUT', body: 'whole', headers: { 'X-Own': '1' } }));

  assert.deepEqual(world.asked('/api/things').map(({ method, body }) => [method, body]), [['PUT', 'whole'], ['PUT', 'whole']]);
});

test('five concurrent refused requests are repeated after one refresh', async () => {
  const { world, auth } = await signedIn();
  for (let time = 0; time < 5; time += 1) world.once('/api/things', refused);

  const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => call(auth, { method: 'POST', body: `body ${n}` })));

  assert.deepEqual(await Promise.all(answers.map((answer) => answer.text())), [1, 2, 3, 4, 5].map((n) => `body ${n}`));
  assert.equal(world.asked('/v1/refresh').length, 1);
  assert.equal(world.asked('/api/things').length, 10);
});

test('a request that is refused after the refresh is repeated without another refresh', async () => {
  const { world, auth } = await signedIn();
  const late = deferred();
  world.once('/api/things', () => late.promise);
  world.once('/api/things', refused);
  const first = call(auth);
  assert.equal((await call(auth)).status, 200);

  late.resolve(refused());

  assert.equal((await first).status, 200);
  assert.equal(world.asked('/v1/refresh').length, 1);
});

test('a request of one user is not repeated for another', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', async () => {
    await world.tab().auth().login({ username: 'bob', password: 'right' });
    return refused();
  });

  assert.equal((await call(auth, { method: 'POST', body: 'pay' })).status, 401);
  assert.equal(world.asked('/api/things').length, 1);
});

test('the challenge decides, regardless of the body', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', () => new Response('no', { status: 401, headers: bearer('invalid_token') }));

  assert.equal((await call(auth)).status, 200);
});

test('a request is repeated only once', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', refused);
  world.once('/api/things', refused);

  assert.equal((await call(auth)).status, 401);
  assert.equal(world.asked('/api/things').length, 2);
});

test('without a readable challenge the code of the body decides', async () => {
  for (const code of ['token_expired', 'token_revoked', 'invalid_token']) {
    const { world, auth } = await signedIn();
    world.once('/api/things', () => problem(401, code));

    assert.equal((await call(auth)).status, 200);
  }
});

const kept = {
  'the token is missing': () => problem(401, 'missing_token', { 'WWW-Authenticate': 'Bearer realm="latchet"' }),
  'a fresh token is required': () => problem(401, 'fresh_token_required', bearer('insufficient_user_authentication')),
  'a password was wrong': () => problem(401, 'invalid_credentials', { 'WWW-Authenticate': 'Bearer realm="latchet"' }),
  'the response gives no reason': () => new Response('no', { status: 401 }),
  'the challenge has another scheme': () => problem(401, 'invalid_token', { 'WWW-Authenticate': 'Basic realm="x"' }),
  'the status is not 401': () => problem(403, 'invalid_token', bearer('invalid_token')),
  'a scope is missing': () => problem(403, 'insufficient_scope', bearer('insufficient_scope')),
  'the server failed': () => problem(503, 'unavailable'),
};

for (const [name, answer] of Object.entries(kept)) {
  test(`a request is not repeated if ${name}`, async () => {
    const { world, auth } = await signedIn();
    world.once('/api/things', answer);
    const expected = answer();

    const found = await call(auth);

    assert.equal(found.status, expected.status);
    assert.equal(await found.text(), await expected.text());
    assert.equal(world.asked('/api/things').length, 1);
    assert.deepEqual(world.asked('/v1/refresh'), []);
  });
}

test('a refused request is rejected, and does not return the 401, if the server cannot issue a new token', async () => {
  const { world, auth } = await signedIn();
  world.once('/api/things', refused);
  world.once('/v1/refresh', () => problem(503, 'unavailable', { 'Retry-After': '7' }));

  await assert.rejects(call(auth), { name: 'AuthError', code: 'unavailable', status: 503, retryAfter: 7 });
});

test('the token is sent to `attachTo` and the paths below only', async () => {
  const { world, tab } = await signedIn();
  const auth = tab.auth({ attachTo: ['https://api.example.org', `${APP}/api/`, '/own', 'app://shell/'] });
  await world.pass(50);

  for (const [url, isSent] of [
    ['https://api.example.org', true],
    ['https://api.example.org/', true],
    ['https://api.example.org/any?x=1', true],
    ['/api', true],
    ['/api/x', true],
    ['own/x', true],
    ['/apix', false],
    ['/api/../other', false],
    ['/api/%2e%2e/other', false],
    ['/', false],
    ['http://api.example.org/', false],
    ['https://api.example.org:8443/', false],
    ['https://api.example.org.evil.example/', false],
    ['https://evil.example/api', false],
    // Both have the origin `null`.
    ['other://evil/', false],
  ]) {
    const absolute = new URL(url, tab.scope.document.baseURI);
    for (const input of [absolute.href, absolute, new Request(absolute)]) {
      await auth.fetch(input);
      assert.equal(world.log.at(-1).token !== null, isSent, url);
    }
  }
});

test('without `attachTo` the token is sent to the server', async () => {
  const { world, tab } = await signedIn();
  const auth = tab.auth({ baseUrl: `${APP}/auth`, attachTo: undefined });
  await world.pass(50);

  await auth.fetch(`${APP}/auth/v1/me`);
  assert.ok(world.log.at(-1).token);
  await auth.fetch(`${APP}/other`);
  assert.equal(world.log.at(-1).token, null);
});

test('an `Authorization` header of the page is not replaced', async () => {
  const { world, auth } = await signedIn();

  await call(auth, { headers: { Authorization: 'Basic eDp5' } });

  assert.equal(world.log.at(-1).token, 'Basic eDp5');
});

test('the global `fetch` is not changed', async () => {
  const before = globalThis.fetch;
  const { world, tab, auth } = await signedIn();
  const own = tab.scope.fetch;

  await call(auth);

  assert.equal(globalThis.fetch, before);
  assert.equal(tab.scope.fetch, own);
  await tab.scope.fetch(`${APP}/api/things`);
  assert.equal(world.log.at(-1).token, null);
});

test('no token is sent after a logout', async () => {
  const { world, auth } = await signedIn();
  await auth.logout();

  assert.equal((await call(auth)).status, 401);
  assert.equal(world.log.at(-1).token, null);
});
