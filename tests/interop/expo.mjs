// The recipe for Expo against a running Latchet without a grace period: an app that starts, crashes at every
// moment of a refresh, and starts again. Each process of the app is a process of Node.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';

const { TOOLS, URL: base, NAME, PASSWORD } = process.env;
const esbuild = createRequire(`${TOOLS}/`)('esbuild');
const path = (file) => fileURLToPath(new URL(file, import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'latchet-expo-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const device = join(folder, 'device.json');
const program = join(folder, 'app.mjs');

/** Modules of Expo and React Native that need a device. */
const MODULES = {
  'expo-crypto': 'export const getRandomValues = (array) => crypto.getRandomValues(array);',
  'react-native': 'export const AppState = { addEventListener: () => ({ remove: () => {} }) };',
};

await esbuild.build({
  entryPoints: [path('expo/app.mjs')],
  outfile: program,
  bundle: true,
  platform: 'node',
  format: 'esm',
  define: { 'process.env.EXPO_PUBLIC_LATCHET': JSON.stringify(base) },
  plugins: [{
    name: 'device',
    setup: (build) => {
      build.onResolve({ filter: /^(expo-crypto|react-native)$/ }, ({ path: name }) => ({ path: name, namespace: 'device' }));
      build.onLoad({ filter: /./, namespace: 'device' }, ({ path: name }) => ({ contents: MODULES[name] }));
      build.onResolve({ filter: /^expo-secure-store$/ }, () => ({ path: path('expo/secure-store.mjs') }));
      build.onResolve({ filter: /^latchet-client\/native$/ }, () => ({ path: path('../../web/client/dist/native.js') }));
    },
  }],
  logLevel: 'error',
});

/** Runs a process of the app; returns what it prints, or `null` if it died. */
const run = (DO, DIE = '') => {
  const env = { PATH: process.env.PATH, DEVICE: device, DO, DIE, URL: base, NAME, PASSWORD };
  const { status, stdout, stderr } = spawnSync(process.execPath, [program], { env, encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, DIE ? 9 : 0, stderr);
  return DIE ? null : JSON.parse(stdout);
};

/** Returns the content of the one item. */
const stored = () => {
  const items = Object.values(JSON.parse(readFileSync(device, 'utf8')));
  assert.equal(items.length, 1);
  return JSON.parse(items[0]);
};

const store = (content) => {
  const [[name]] = Object.entries(JSON.parse(readFileSync(device, 'utf8')));
  writeFileSync(device, JSON.stringify({ [name]: JSON.stringify(content) }));
};

const first = run('login');
assert.deepEqual([first.status, first.user.username, first.me], ['signed-in', NAME, NAME]);
assert.ok(stored().refresh_token);
console.log('a login is stored');

const second = run('start');
assert.deepEqual([second.sessionId, second.me], [first.sessionId, NAME]);
console.log('the next start is the same session');

for (const moment of ['before the request', 'before the response', 'before the response is stored']) {
  const before = stored();
  run('start', moment);
  const { key, ...rest } = stored();
  assert.match(key, /^[!-~]{16,255}$/);
  assert.deepEqual(rest, before, 'the refresh token is still the old one');
  const next = run('start');
  assert.deepEqual([next.sessionId, next.me], [first.sessionId, NAME]);
  assert.notEqual(stored().refresh_token, before.refresh_token);
  assert.equal(stored().key, undefined);
  console.log(`a crash ${moment} signs nobody out`);
}

// Without the key the same crash ends the session: it is the key that protects it.
run('start', 'before the response');
const { key, ...rest } = stored();
assert.ok(key);
store(rest);
const ended = run('start');
assert.deepEqual([ended.status, ended.reason], ['signed-out', 'refresh_reused']);
assert.equal(stored().refresh_token, undefined);
console.log('without its key an old token counts as stolen');

const again = run('login');
assert.notEqual(again.sessionId, first.sessionId);
const { refresh_token } = stored();
assert.equal(run('logout').status, 'signed-out');
assert.equal(stored().refresh_token, undefined);
const answer = await fetch(`${base}/v1/refresh`, {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ refresh_token }),
});
assert.equal(answer.status, 401);
assert.equal(run('start').status, 'signed-out');
console.log('a logout ends the session and removes it from the device');
