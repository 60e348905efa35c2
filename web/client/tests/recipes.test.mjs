// The README's examples compile and work with the published packages.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createAuth } from '../dist/latchet.js';
import { APP, problem, settle, signedIn } from './world.mjs';

const client = fileURLToPath(new URL('..', import.meta.url));
const tools = process.env.TOOLS ?? join(client, 'node_modules');
const require = createRequire(`${tools}/`);

const folder = mkdtempSync(join(tmpdir(), 'latchet-client-'));
after(() => rmSync(folder, { recursive: true }));
symlinkSync(tools, join(folder, 'node_modules'));

const readme = readFileSync(join(client, 'README.md'), 'utf8');
const snippets = [...readme.matchAll(/```ts\n\/\/ ([\w-]+\.ts)\n([^]*?)```/g)].map(([, name, text]) => ({ name, text }));
for (const { name, text } of snippets) writeFileSync(join(folder, name), text);

const run = (...command) => {
  try {
    execFileSync(process.execPath, command, { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    assert.fail(`${command.join(' ')}:\n${error.stdout}\n${error.stderr}`);
  }
};

let loaded = 0;

/** Loads a snippet whose `auth` is the one given. */
const load = async (name, auth) => {
  globalThis.authOfTest = auth;
  loaded += 1;
  const out = join(folder, `${name}-${loaded}.mjs`);
  await require('esbuild').build({
    entryPoints: [join(folder, `${name}.ts`)],
    outfile: out,
    bundle: true,
    platform: 'node',
    format: 'esm',
    // Some packages load the built-in modules of Node.js with `require`.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [{
      name: 'auth',
      setup: (build) => {
        build.onLoad({ filter: /[\\/]auth\.ts$/ }, () => ({ contents: 'export const auth = globalThis.authOfTest;' }));
        // One copy of React, shared with the renderer, and one client, shared with this test.
        const files = { react: require.resolve('react'), 'latchet-client': join(client, 'dist/latchet.js') };
        build.onResolve({ filter: /^(react|latchet-client)$/ }, ({ path }) => (
          { path: pathToFileURL(files[path]).href, external: true }));
      },
    }],
    logLevel: 'error',
  });
  return import(pathToFileURL(out));
};

test('every example compiles, with an API client generated from openapi.yaml', () => {
  assert.equal(snippets.length, 9);
  const generator = join(require.resolve('openapi-typescript/package.json'), '../bin/cli.js');
  run(generator, join(client, '../../openapi.yaml'), '-o', join(folder, 'latchet.ts'));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, noEmit: true, skipLibCheck: true, target: 'es2022', module: 'es2022', moduleResolution: 'bundler',
      lib: ['es2022', 'dom', 'dom.iterable'], types: [],
      paths: { 'latchet-client': [join(client, 'dist/index.d.ts')] },
    },
    include: ['*.ts'],
  }));

  run(join(require.resolve('typescript/package.json'), '../bin/tsc'), '--project', folder);
});

/** Function of each library that posts a body. */
const posts = {
  'openapi-fetch': ({ latchet }) => (body) => latchet.POST('/v1/reauthenticate', { body }),
  ky: ({ api }) => (json) => api.post('things', { json }),
  ofetch: ({ api }) => (body) => api('/things', { method: 'POST', body }),
  axios: ({ api }) => (body) => api.post('/things', body),
  'rtk-query': ({ api }) => {
    const { configureStore } = require('@reduxjs/toolkit');
    const store = configureStore({
      reducer: { [api.reducerPath]: api.reducer },
      middleware: (usual) => usual().concat(api.middleware),
    });
    return (body) => store.dispatch(api.endpoints.add.initiate(body)).unwrap();
  },
  'tanstack-query': ({ adding }) => (body) => adding().mutate(body),
};

const refused = () => problem(401, 'token_expired', { 'WWW-Authenticate': 'Bearer error="invalid_token"' });

for (const [name, library] of Object.entries(posts)) {
  test(`${name}: five posts after expiry or refusal cause one refresh, and all bodies arrive complete`, async () => {
    const { world, tab } = await signedIn();
    const auth = tab.auth({ attachTo: [APP] });
    const post = library(await load(name, auth));
    const bodies = [1, 2, 3, 4, 5].map((n) => ({ password: `body ${n}`.repeat(1000) }));
    const path = name === 'openapi-fetch' ? '/v1/reauthenticate' : '/api/things';
    const arrived = () => world.asked(path).slice(-5).map(({ body }) => JSON.parse(body))
      .sort((a, b) => (a.password < b.password ? -1 : 1));
    await tab.show(false);
    await world.pass(900_000);

    await Promise.all(bodies.map(post));
    assert.equal(world.asked('/v1/refresh').length, 1);
    assert.equal(world.asked(path).length, 5);
    assert.deepEqual(arrived(), bodies);

    bodies.forEach(() => world.once(path, refused));
    await Promise.all(bodies.map(post));
    assert.equal(world.asked('/v1/refresh').length, 2);
    assert.equal(world.asked(path).length, 15);
    assert.deepEqual(arrived(), bodies);
    auth.dispose();
  });
}

test('tanstack-query clears its data after a logout', async () => {
  const { auth } = await signedIn();
  const { queries } = await load('tanstack-query', auth);
  queries.setQueryData(['me'], 'alice');

  await auth.logout();
  await settle();

  assert.equal(queries.getQueryData(['me']), undefined);
});

test('react renders on a server without sending a request', async () => {
  const { createElement } = require('react');
  const { renderToString } = require('react-dom/server');
  const inert = createAuth({ baseUrl: APP }, { fetch: () => assert.fail('a request was sent') });
  const { world, auth } = await signedIn();
  const sent = world.log.length;

  // Nor when a signed-in page hydrates: the first rendering must equal the server's.
  for (const each of [inert, auth]) {
    const { useAuth } = await load('react', each);
    assert.equal(renderToString(createElement(() => createElement('p', null, useAuth().status))), '<p>unknown</p>');
  }
  assert.equal(world.log.length, sent);
});

test('the sign-in example returns a message for the user', async () => {
  const { auth } = await signedIn();
  const { signIn } = await load('sign-in', auth);

  assert.equal(await signIn('alice', 'wrong'), 'The user name or the password is wrong.');
  assert.equal(await signIn('alice', 'right'), '');
});
