// Starts the example: Latchet, the notes, and Vite with the pages. Ctrl-C ends all of them.
//
// Settings of Latchet come from the environment. LATCHET names its program; NOTES_SERVICE names the service in
// Rust (api/main.rs), which has Latchet inside and needs no other program.

import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createSocket } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const folder = import.meta.dirname;
const root = join(folder, '../..');
const say = (text) => console.log(`\n${text}\n`);
const age = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);

const fail = (text) => {
  console.error(`\n${text}\n`);
  process.exit(1);
};

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
    PORT,
    LATCHET_DATA_DIR,
    LATCHET_BOOTSTRAP_ADMIN,
    LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE,
  };
};

/** Listens on an address for a moment; returns the code of the failure. */
const faultOf = (host, port) => new Promise((resolve) => {
  const socket = createSocket();
  socket.on('error', ({ code }) => resolve(code));
  socket.listen(Number(port), host, () => socket.close(() => resolve(undefined)));
});

/** Ends the start if another program uses a port, and says which port to choose instead. */
const requireFreePorts = async ({ LATCHET_LISTEN, PORT }) => {
  const [, host, port] = LATCHET_LISTEN.match(/^(.*):(\d+)$/) ?? [null, '127.0.0.1', LATCHET_LISTEN];
  for (const [what, name, value, at, number] of [
    ['Latchet', 'LATCHET_LISTEN', `${host}:${Number(port) + 1}`, host, port],
    ['the page', 'PORT', String(Number(PORT) + 1), '127.0.0.1', PORT],
  ]) {
    if (await faultOf(at.replace(/^\[|\]$/g, ''), number) !== 'EADDRINUSE') continue;
    fail(`Port ${number}, which ${what} needs, is in use by another program, perhaps an earlier start of this example.\n`
      + `End that program, or choose another port:\n\n    ${name}=${value} node examples/spa/start.mjs`);
  }
};

/** Returns the newest built program of Latchet: of this repository, or else an installed one. */
const builtProgram = () => {
  const built = ['release', 'debug'].map((profile) => join(root, 'target', profile, 'latchet')).filter(existsSync);
  const installed = (process.env.PATH ?? '').split(delimiter).map((path) => join(path, 'latchet')).filter(existsSync);
  return built.sort((a, b) => age(b) - age(a))[0] ?? installed[0];
};

/** Returns the program that serves Latchet, built if there is none. */
const program = ({ LATCHET, NOTES_SERVICE }) => {
  const found = NOTES_SERVICE ?? LATCHET ?? builtProgram();
  if (found) return found;
  say('There is no program of Latchet yet. Building it takes some minutes, once.');
  const { status } = spawnSync('cargo', ['build', '--release', '--bin', 'latchet'], { cwd: root, stdio: 'inherit' });
  return status === 0 ? builtProgram() : fail('Latchet was not built. Install Rust, or a package of Latchet: docs/how-to/install.md');
};

/** Starts the notes in this process, and returns their URL. */
const startNotes = async (latchet) => {
  const { createNotesService } = await import('./api/notes.mjs');
  const notes = createNotesService(latchet);
  await new Promise((resolve) => { notes.listen(0, '127.0.0.1', resolve); });
  return `http://127.0.0.1:${notes.address().port}`;
};

const env = settings();
install();
await requireFreePorts(env);
const latchet = `http://${env.LATCHET_LISTEN}`;
const service = spawn(program(env), [], { env, cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
const ended = new Promise((resolve) => {
  service.on('error', (error) => { console.error(error.message); resolve(1); });
  service.on('exit', (status) => resolve(status ?? 1));
});
// From a terminal the service receives the signal too, otherwise not; receiving it twice is harmless.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => service.kill('SIGINT'));

// Pages without a service would only show errors.
const isReady = () => fetch(`${latchet}/readyz`).then(({ ok }) => ok, () => false);
let status;
ended.then((code) => { status = code; });
while (status === undefined && !await isReady()) await pause(100);

if (status === undefined) {
  process.env.NOTES ??= env.NOTES_SERVICE ? latchet : await startNotes(latchet);
  const { createServer } = await import('vite');
  const pages = await createServer({ root: folder });
  await pages.listen();
  const password = readFileSync(env.LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE, 'utf8').trim();
  say(`Open ${pages.resolvedUrls.local[0]} and sign in as ${env.LATCHET_BOOTSTRAP_ADMIN}, password ${password}`);
  await ended;
  await pages.close();
}
process.exit(await ended);
