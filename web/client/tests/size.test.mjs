// Size of the client.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

// Versions of zlib differ by a few bytes, so not 3,750.
test('the client has at most 3.75 KiB', () => {
  const file = readFileSync(new URL('../dist/latchet.js', import.meta.url));

  assert.ok(gzipSync(file, { level: 9 }).length <= 3.75 * 1024);
});
