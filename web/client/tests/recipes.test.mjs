// The README's examples, and the recipes, compile and work with the published packages.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createAuth } from '../dist/latchet.js';
import { APP, World, json, problem, settle, signedIn } from './world.mjs';

const client = fileURLToPath(new URL('..', import.meta.url));
const tools = process.env.TOOLS ?? join(client, 'node_modules');
const require = createRequire(`${tools}/`);

const folder = mkdtempSync(join(tmpdir(), 'latchet-client-'));
after(() => rmSync(folder, { recursive: true }));
symlinkSync(tools, join(folder, 'node_modules'));

const readme = readFileSync(join(client, 'README.md'), 'utf8');
const snippets = [...readme.matchAll(/```tsx?\n\/\/ ([\w-]+\.tsx?)\n([^]*?)```/g)].map(([, name, text]) => ({ name, text }));
for (const { name, text } of snippets) writeFileSync(join(folder, name), text);
copyFileSync(join(client, 'recipes/tanstack-router.tsx'), join(folder, 'tanstack-router.tsx'));
copyFileSync(join(client, 'recipes/expo/auth.ts'), join(folder, 'expo.ts'));

/** The parts of Expo and React Native that the recipe uses, because their packages need a device. */
const DEVICE_TYPES = `
declare const process: { env: Record<string, string | undefined> };
declare module 'expo-crypto' {
  export function getRandomValues<T extends Uint8Array | Uint32Array>(array: T): T;
}
declare module 'expo-secure-store' {
  export const AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY: number;
  interface SecureStoreOptions { keychainAccessible?: number }
  export function getItemAsync(key: string, options?: SecureStoreOptions): Promise<string | null>;
  export function setItemAsync(key: string, value: string, options?: SecureStoreOptions): Promise<void>;
  export function deleteItemAsync(key: string, options?: SecureStoreOptions): Promise<void>;
}
declare module 'react-native' {
  export const AppState: {
    addEventListener(type: 'change', listener: (state: 'active' | 'background' | 'inactive') => void): { remove(): void };
  };
}
`;

const run = (...command) => {
  try {
    execFileSync(process.execPath, command, { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    assert.fail(`${command.join(' ')}:\n${error.stdout}\n${error.stderr}`);
  }
};

/** Files in place of packages: one copy of React, shared with the renderer, and one client, shared with this test. */
const files = {
  react: require.resolve('react'),
  'react/jsx-runtime': require.resolve('react/jsx-runtime'),
  'latchet-client': join(client, 'dist/latchet.js'),
};

/** React that renders the current state on a server, too, as a browser does after hydration. */
const HYDRATED_REACT = `
import * as React from ${JSON.stringify(pathToFileURL(files.react).href)};
export * from ${JSON.stringify(pathToFileURL(files.react).href)};
export const useSyncExternalStore = (subscribe, state) => React.useSyncExternalStore(subscribe, state, state);
`;

let loaded = 0;

/** Loads a snippet whose `auth` is the one given. `isBrowser` selects the variant of packages for browsers. */
const load = async (name, auth, { isHydrated = false, isBrowser = false } = {}) => {
  globalThis.authOfTest = auth;
  loaded += 1;
  const out = join(folder, `${name}-${loaded}.mjs`);
  const entry = readdirSync(folder).find((file) => file === `${name}.ts` || file === `${name}.tsx`);
  await require('esbuild').build({
    entryPoints: [join(folder, entry)],
    outfile: out,
    bundle: true,
    platform: 'node',
    format: 'esm',
    jsx: 'automatic',
    conditions: isBrowser ? ['browser'] : [],
    define: isBrowser ? { window: 'globalThis', self: 'globalThis' } : {},
    // Some packages load the built-in modules of Node.js with `require`.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [{
      name: 'auth',
      setup: (build) => {
        build.onLoad({ filter: /[\\/]auth\.ts$/ }, () => ({ contents: 'export const auth = globalThis.authOfTest;' }));
        build.onResolve({ filter: /^latchet-client\/react$/ }, () => ({ path: join(client, 'dist/react.js') }));
        if (isHydrated) {
          build.onResolve({ filter: /^react$/ }, () => ({ path: 'react', namespace: 'hydrated' }));
          build.onLoad({ filter: /./, namespace: 'hydrated' }, () => ({ contents: HYDRATED_REACT }));
          build.onResolve({ filter: /^file:/ }, ({ path }) => ({ path, external: true }));
        }
        build.onResolve({ filter: /^(react|react\/jsx-runtime|latchet-client)$/ }, ({ path, kind }) => (
          { path: kind === 'require-call' ? files[path] : pathToFileURL(files[path]).href, external: true }));
      },
    }],
    logLevel: 'error',
  });
  return import(pathToFileURL(out));
};

test('every example compiles, with an API client generated from openapi.yaml', () => {
  assert.equal(snippets.length, 11);
  const generator = join(require.resolve('openapi-typescript/package.json'), '../bin/cli.js');
  run(generator, join(client, '../../openapi.yaml'), '-o', join(folder, 'latchet.ts'));
  writeFileSync(join(folder, 'device.d.ts'), DEVICE_TYPES);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, noEmit: true, skipLibCheck: true, target: 'es2022', module: 'es2022', moduleResolution: 'bundler',
      lib: ['es2022', 'dom', 'dom.iterable'], types: [], jsx: 'react-jsx',
      paths: Object.fromEntries(['index', 'emails', 'react', 'native'].map((name) =>
        [name === 'index' ? 'latchet-client' : `latchet-client/${name}`, [join(client, `dist/${name}.d.ts`)]])),
    },
    include: ['*.ts', '*.tsx'],
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

/** Renders a component to text without tags. */
const render = (component) => {
  const { createElement } = require('react');
  const { renderToString } = require('react-dom/server');
  return renderToString(createElement(component)).replace(/<[^>]*>/g, '');
};

test('react renders nothing about the user on a server, and sends no request', async () => {
  const inert = createAuth({ baseUrl: APP }, { fetch: () => assert.fail('a request was sent') });
  const { world, auth } = await signedIn();
  const sent = world.log.length;

  // Nor when a signed-in page hydrates: the first rendering must equal the server's.
  for (const each of [inert, auth]) {
    const { App } = await load('react', each);
    assert.equal(render(App), 'Loading …');
  }
  assert.equal(world.log.length, sent);
});

test('react renders the user, or the way to sign in', async () => {
  const { auth } = await signedIn();
  const { App } = await load('react', auth, { isHydrated: true });

  assert.equal(render(App), 'Hello alice');
  await auth.logout();
  assert.equal(render(App), 'Sign in');
});

test('without a provider, react reports the missing part', async () => {
  writeFileSync(join(folder, 'alone.tsx'), "import { SignedIn } from 'latchet-client/react'; export const App = () => <SignedIn />;");
  const { App } = await load('alone', null);

  assert.throws(() => render(App), /AuthProvider/);
});

/** Returns the router of the recipe at `/`, and a function that waits until it is at a path. */
const openRouter = async (auth) => {
  writeFileSync(join(folder, 'history.mjs'), "export { createMemoryHistory } from '@tanstack/react-router';");
  const { createMemoryHistory } = await import(pathToFileURL(join(folder, 'history.mjs')));
  const { createAppRouter } = await load('tanstack-router', auth, { isBrowser: true });
  const router = createAppRouter({ history: createMemoryHistory({ initialEntries: ['/'] }) });
  const reach = async (href) => {
    for (let turn = 0; turn < 100 && (router.state.location.href !== href || router.state.isLoading); turn += 1) await settle();
    assert.equal(router.state.location.href, href);
  };
  return { router, reach };
};

test('tanstack-router sends users who are signed out to the sign-in page, and back', async () => {
  const world = new World();
  world.once('/v1/me', () => json(200, { user: { username: 'alice' } }));
  const auth = world.tab().auth({ attachTo: [APP] });
  const { router, reach } = await openRouter(auth);
  const signInPage = '/sign-in?from=%2F';

  await router.load();
  await reach(signInPage);
  assert.deepEqual(world.log, []);

  await auth.login({ username: 'alice', password: 'right' });
  await reach('/');
  assert.ok(world.asked('/v1/me')[0].token);

  await auth.logout();
  await reach(signInPage);
  auth.dispose();
});

test('tanstack-router waits for the state after a reload', async () => {
  const { world, tab } = await signedIn();
  // The change of the state loads the route again.
  for (let time = 0; time < 2; time += 1) world.once('/v1/me', () => json(200, { user: { username: 'alice' } }));
  tab.close();
  const auth = world.tab().auth({ attachTo: [APP] });
  const { router, reach } = await openRouter(auth);

  const loading = router.load();
  await world.pass(50);
  await loading;

  await reach('/');
  assert.ok(world.asked('/v1/me').every(({ token }) => token));
  assert.deepEqual(router.state.matches.map(({ status }) => status), ['success', 'success', 'success']);
  auth.dispose();
});

test('tanstack-router shows an error, and no sign-in page, while the server is down', async () => {
  const { world, tab } = await signedIn();
  tab.close();
  for (let time = 0; time < 5; time += 1) world.once('/v1/refresh', () => problem(503, 'unavailable'));
  const auth = world.tab().auth({ attachTo: [APP] });
  const { router, reach } = await openRouter(auth);

  const loading = router.load();
  await world.pass(50);
  await loading;

  await reach('/');
  assert.ok(router.state.matches.some(({ error }) => error?.code === 'unavailable'));
  auth.dispose();
});

test('tanstack-router goes back to addresses of its own site only', async () => {
  const world = new World();
  const auth = world.tab().auth({ attachTo: [APP] });
  const { router } = await openRouter(auth);
  const { validateSearch } = router.routesByPath['/sign-in'].options;

  for (const [from, expected] of [
    ['/things?page=2', '/things?page=2'], [undefined, '/'], ['', '/'], ['//evil.example', '/'], ['/\\evil.example', '/'],
    ['https://evil.example', '/'], ['javascript:alert(1)', '/'],
  ]) assert.deepEqual(validateSearch({ from }), { from: expected });
  auth.dispose();
});

test('the sign-in example returns a message for the user', async () => {
  const { auth } = await signedIn();
  const { signIn } = await load('sign-in', auth);

  assert.equal(await signIn('alice', 'wrong'), 'The user name or the password is wrong.');
  assert.equal(await signIn('alice', 'right'), '');
});
