// The servers of the tests: Latchet itself, APIs, and servers that stand in for a faulty Latchet.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** The program under test: `LATCHET`, or the debug build of this repository. */
export const PROGRAM = process.env.LATCHET ?? join(import.meta.dirname, '../../../target/debug/latchet');
const PASSWORD = 'a long password of the tests';
const DEADLINE_MS = 60_000;

/** Polls until `attempt` returns a value. */
export const until = async (what, attempt) => {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = await attempt();
    if (value) return value;
    assert(performance.now() < deadline, `still waiting for ${what}`);
    await pause(20);
  }
};

/** Returns a port that nothing uses now. */
export const freePort = async () => {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  server.close();
  return port;
};

/** Starts a server with this listener, and returns it with its URL. The test closes it. */
export const serve = async (test, listener) => {
  const server = createServer(listener);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  test.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return Object.assign(server, { url: `http://127.0.0.1:${server.address().port}` });
};

/** Ends a child process, whatever its state, and waits for that. */
export const end = async (child) => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
};

/** Freezes a child process. The signal stops its threads one after the other, and any that still runs may respond. */
export const freeze = async (child) => {
  child.kill('SIGSTOP');
  const threads = `/proc/${child.pid}/task`;
  // Only Linux names the threads.
  if (!existsSync(threads)) return;
  // The state follows the name, which is in parentheses.
  const state = (thread) => readFileSync(`${threads}/${thread}/stat`, 'utf8').split(') ').at(-1)[0];
  await until('the last thread to stop', () => readdirSync(threads).every((thread) => state(thread) === 'T'));
};

/** A running Latchet in a folder of its own, with the administrator `admin` and the user `alice`. */
export class Latchet {
  static async start(settings = {}) {
    assert(existsSync(PROGRAM), `${PROGRAM} is missing: build it, or name it in LATCHET`);
    const latchet = new Latchet();
    latchet.folder = mkdtempSync(join(tmpdir(), 'latchet-node-'));
    latchet.url = `http://127.0.0.1:${await freePort()}`;
    const password = join(latchet.folder, 'password');
    writeFileSync(password, PASSWORD, { mode: 0o600 });
    latchet.env = {
      LATCHET_DATA_DIR: latchet.folder,
      LATCHET_LISTEN: new URL(latchet.url).host,
      LATCHET_BOOTSTRAP_ADMIN: 'admin',
      LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE: password,
      LATCHET_ARGON2_MEMORY_KIB: '7168',
      LATCHET_ARGON2_PASSES: '5',
      ...settings,
    };
    await latchet.resume();
    const { access_token: admin } = await latchet.login('admin');
    const account = { username: 'alice', password: PASSWORD };
    const created = await latchet.post('/v1/users', account, admin);
    assert.equal(created.status, 201, await created.text());
    return latchet;
  }

  /** Starts the program on the same folder and port, and waits until it is ready. */
  async resume() {
    const log = join(this.folder, 'log');
    const file = openSync(log, 'a');
    this.child = spawn(PROGRAM, [], { cwd: this.folder, env: this.env, stdio: ['ignore', file, file] });
    closeSync(file);
    await until('Latchet', async () => {
      assert(this.child.exitCode === null, `Latchet ended at once: ${readFileSync(log)}`);
      return fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false);
    });
  }

  post(path, body, token, method = 'POST') {
    const authorization = token && { Authorization: `Bearer ${token}` };
    const headers = { 'Content-Type': 'application/json', ...authorization };
    return fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
  }

  async login(username, options = {}) {
    const response = await this.post('/v1/login', { username, password: PASSWORD, ...options });
    assert.equal(response.status, 200, 'login');
    return response.json();
  }

  async logout(token) {
    const response = await this.post('/v1/logout', undefined, token);
    assert.equal(response.status, 204, 'logout');
  }

  /** Ends the program; its folder remains. */
  stop() {
    return end(this.child);
  }

  async remove() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }
}

/** Returns the claims of a token without a check. */
export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
