// Size of the client.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

test('the client for pages has at most 3,500 bytes', () => {
  const file = readFileSync(new URL('../dist/latchet.js', import.meta.url));

  assert.ok(gzipSync(file, { level: 9 }).length <= 3500);
});
