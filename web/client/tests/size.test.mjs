// What a page has to fetch.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

// Versions of zlib differ by a few bytes, so not 3,500.
test('the client has at most 3.5 KiB', () => {
  const file = readFileSync(new URL('../dist/latchet.js', import.meta.url));

  assert.ok(gzipSync(file, { level: 9 }).length <= 3.5 * 1024);
});
