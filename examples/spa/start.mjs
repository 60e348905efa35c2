// Starts the example: Latchet with the notes, and Vite with the pages. Ctrl-C ends both.
//
// Settings of Latchet come from the environment; NOTES_SERVICE names a program that has been built already.

import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const folder = import.meta.dirname;
const say = (text) => console.log(`\n${text}\n`);
const age = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);

/** Installs the packages of the lock file, if it has changed. */
const install = () => {
  if (age(join(folder, 'node_modules/.package-lock.json')) >= age(join(folder, 'package-lock.json'))) return;
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};

/** Returns the settings of Latchet, with a first account for signing in. */
const settings = () => {
  const {
    PORT = '5173',
    LATCHET_DATA_DIR = join(folder, 'data'),
    LATCHET_BOOTSTRAP_ADMIN = 'alice',
    LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE = join(LATCHET_DATA_DIR, 'password'),
  } = process.env;
  mkdirSync(LATCHET_DATA_DIR, { recursive: true, mode: 0o700 });
  if (!existsSync(LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE)) {
    writeFileSync(LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE, randomBytes(15).toString('base64url'), { mode: 0o600 });
  }
  return {
    LATCHET_LISTEN: '127.0.0.1:8080',
    LATCHET_PUBLIC_URL: `http://127.0.0.1:${PORT}`,
    ...process.env,
    LATCHET_DATA_DIR,
    LATCHET_BOOTSTRAP_ADMIN,
    LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE,
  };
};

install();
const { createServer } = await import('vite');
const env = settings();
const [program, ...args] = env.NOTES_SERVICE
  ? [env.NOTES_SERVICE]
  : ['cargo', 'run', '--manifest-path', join(folder, '../../Cargo.toml'), '--example', 'spa'];
const service = spawn(program, args, { env, stdio: 'inherit' });
const ended = new Promise((resolve) => {
  service.on('error', (error) => { console.error(`${program}: ${error.message}`); resolve(1); });
  service.on('exit', (status) => resolve(status ?? 1));
});
// From a terminal the service receives the signal too, otherwise not; receiving it twice is harmless.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => service.kill('SIGINT'));

// The first build takes minutes, and pages without a service would only show errors.
const isReady = () => fetch(`http://${env.LATCHET_LISTEN}/readyz`).then(({ ok }) => ok, () => false);
let status;
ended.then((code) => { status = code; });
while (status === undefined && !await isReady()) await pause(200);

if (status === undefined) {
  const pages = await createServer({ root: folder });
  await pages.listen();
  const password = readFileSync(env.LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE, 'utf8').trim();
  say(`Open ${pages.resolvedUrls.local[0]} and sign in as ${env.LATCHET_BOOTSTRAP_ADMIN}, password ${password}`);
  await ended;
  await pages.close();
}
process.exit(await ended);
