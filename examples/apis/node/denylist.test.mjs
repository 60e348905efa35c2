// The keys of the denylist in Redis, and the conditions for their absence: what the page says about them is
// what the program does.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Latchet, claimsOf, end, freePort, freeze, until } from '../../../clients/node/tests/server.mjs';

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/how-to/protect-an-api.md'), 'utf8');
const redis = {};
const latchet = {};

/** Runs a command of Redis and returns the lines of the reply; a missing value is an empty line. */
const command = async (...words) => {
  const { stdout } = await promisify(execFile)('redis-cli', ['-p', redis.port, ...words]);
  return stdout.replace(/\n$/, '').split('\n').map((line) => line.trimEnd());
};

/** Returns the command of the page for a token. */
const lookup = (claims) => {
  const [, words] = /^MGET (.+)$/m.exec(PAGE);
  const values = { SUB: claims.sub, JTI: claims.jti, SID: claims.sid };
  return command('MGET', ...words.replace(/\b(SUB|JTI|SID)\b/g, (name) => values[name]).split(' '));
};

/** Returns the marker of a complete copy; undefined if one of the conditions of the page does not hold. */
const trustedMarker = async () => {
  const info = Object.fromEntries((await command('INFO')).map((line) => line.split(':')));
  const [seconds] = await command('TIME');
  const [marker] = await command('GET', 'latchet:{deny}:epoch');
  const [lifetime] = await command('PTTL', 'latchet:{deny}:epoch');
  const server = `${info.run_id}.${info.master_replid}.${info.evicted_keys}`;
  const isTrusted = info.role === 'master' && info.maxmemory_policy === 'noeviction'
    && seconds - Date.now() / 1000 <= 30
    && marker && !marker.startsWith('filling:')
    && marker.slice(marker.indexOf('.') + 1) === server
    && lifetime >= 20_000;
  return isTrusted ? marker : undefined;
};

/** Returns the status of a token as the page describes. */
const status = async (token) => {
  const claims = claimsOf(token);
  const trusted = await trustedMarker();
  const [marker, user, byToken, bySession] = await lookup(claims);
  if (byToken || bySession) return 'revoked';
  if (user && !((claims.authority_version ?? 0) >= Number(user.split(':')[0]))) return 'outdated';
  return trusted && marker === trusted ? 'admitted' : 'unknown';
};

before(async () => {
  redis.folder = mkdtempSync(join(tmpdir(), 'latchet-redis-'));
  redis.port = String(await freePort());
  const options = ['--port', redis.port, '--bind', '127.0.0.1', '--dir', redis.folder, '--save', '', '--appendonly', 'no'];
  redis.child = spawn('redis-server', options, { stdio: 'ignore' });
  await until('Redis', () => command('PING').then(([reply]) => reply === 'PONG', () => false));
  latchet.server = await Latchet.start({ LATCHET_REDIS_URL: `redis://127.0.0.1:${redis.port}` });
  await until('a complete copy', trustedMarker);
});

after(async () => {
  await latchet.server?.remove();
  await end(redis.child);
  rmSync(redis.folder, { recursive: true });
});

const login = async (username) => (await latchet.server.login(username)).access_token;

test('a logout denies the session, and no other', async () => {
  const [ended, other] = [await login('alice'), await login('alice')];
  assert.deepEqual([await status(ended), await status(other)], ['admitted', 'admitted']);

  await latchet.server.logout(ended);

  assert.deepEqual([await status(ended), await status(other)], ['revoked', 'admitted']);
  const [denial] = await command('GET', `latchet:{deny}:sid:${claimsOf(ended).sid}`);
  assert.match(denial, /^\d{13}$/);
});

test('a change of roles denies the older tokens of the user by one key', async () => {
  const [older, others] = [await login('alice'), await login('admin')];
  const { sub } = claimsOf(older);

  const changed = await latchet.server.post(`/v1/users/${sub}/roles`, { roles: ['editor'] }, others, 'PUT');

  assert.equal(changed.status, 200, await changed.text());
  const newer = await login('alice');
  assert.deepEqual([await status(older), await status(newer), await status(others)], ['outdated', 'admitted', 'admitted']);
  const [denial] = await command('GET', `latchet:{deny}:user:${sub}`);
  const [version] = denial.split(':');
  assert.match(denial, /^\d+:\d{13}$/);
  assert.equal(claimsOf(newer).authority_version, Number(version));
});

test('after a flush nothing is known until the copy is complete again', async () => {
  const [ended, valid] = [await login('alice'), await login('alice')];
  await latchet.server.logout(ended);

  await freeze(latchet.server.child);
  await command('FLUSHALL');
  const flushed = [await status(ended), await status(valid)];
  latchet.server.child.kill('SIGCONT');

  assert.deepEqual(flushed, ['unknown', 'unknown']);
  await until('a complete copy', trustedMarker);
  assert.deepEqual([await status(ended), await status(valid)], ['revoked', 'admitted']);
});

test('without Latchet the marker ages, and nothing is known any more', async () => {
  const token = await login('alice');
  await latchet.server.stop();
  await command('PEXPIRE', 'latchet:{deny}:epoch', '19999');

  const aged = await status(token).finally(() => latchet.server.resume());

  assert.equal(aged, 'unknown');
});
