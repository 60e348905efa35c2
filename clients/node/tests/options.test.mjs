// The token in `Authorization`, and the permitted URLs of an issuer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { authorizationLines, bearerToken } from '../dist/bearer.js';
import { verify } from '../dist/index.js';
import { jwks } from '../dist/jwks.js';

test('the token is found among credentials of other schemes', () => {
  for (const lines of [
    ['Bearer a.b.c'], ['bearer   a.b.c '], ['BEARER\ta.b.c'], ['Basic YTpi, Bearer a.b.c'], ['Basic YTpi', 'Bearer a.b.c'],
    ['Digest a="b", c="d"', 'Bearer a.b.c'],
  ]) assert.equal(bearerToken(lines), 'a.b.c', lines.join(' | '));
});

test('anything but one well-formed token is refused', () => {
  const long = `${'x'.repeat(8188)}.b.c`;
  for (const [lines, status, code] of [
    [[], 401, 'missing_token'],
    [[''], 401, 'missing_token'],
    [[' , , '], 401, 'missing_token'],
    [['Basic YTpi'], 401, 'missing_token'],
    [['Bearerx a.b.c'], 401, 'missing_token'],
    [['a.b.c'], 401, 'missing_token'],
    [['Bearer'], 401, 'malformed_token'],
    [['Bearer '], 401, 'malformed_token'],
    [['Bearer a.b'], 401, 'malformed_token'],
    [['Bearer a.b.c.d'], 401, 'malformed_token'],
    [['Bearer a.b.c d'], 401, 'malformed_token'],
    [['Bearer a.b.c\u00e9'], 401, 'malformed_token'],
    [['Bearer a.b.c\r\nX: y'], 401, 'malformed_token'],
    [[`Bearer x${long}`], 401, 'malformed_token'],
    [['Bearer a.b.c', 'Bearer a.b.c'], 400, 'validation_failed'],
    [['Bearer a.b.c', 'Bearer'], 400, 'validation_failed'],
    [['Bearer a.b.c, Bearer d.e.f'], 400, 'validation_failed'],
  ]) assert.throws(() => bearerToken(lines), { status, code }, lines.join(' | '));
  assert.equal(bearerToken([`Bearer ${long}`]), long);
});

test('long headers are read in linear time', () => {
  for (const text of ['Bearer', 'Bearer '.repeat(20_000), ','.repeat(100_000), `Bearer ${'a.'.repeat(50_000)}`]) {
    assert.throws(() => bearerToken([text]), { name: 'Refusal' });
  }
});

test('all lines of the header are read', () => {
  assert.deepEqual(authorizationLines(['Host', 'Authorization', 'AUTHORIZATION', 'a', 'authorization', 'b']), ['a', 'b']);
});

test('plain http is permitted on loopback only, or by a choice', () => {
  for (const create of [verify, jwks]) {
    for (const issuer of [
      'https://auth.example.org', 'https://auth.example.org/', 'https://auth.example.org:8443/path',
      'http://127.0.0.1:8080', 'http://127.1.2.3', 'http://localhost:8080', 'http://[::1]:8080',
    ]) assert.equal(typeof create({ issuer }), 'function', issuer);
    for (const issuer of [
      'http://auth.example.org', 'http://10.0.0.7:8080', 'http://127.0.0.1.example.org', 'http://localhost.example.org',
      'http://0.0.0.0:8080', 'ftp://127.0.0.1', 'auth.example.org', '', undefined,
      'https://user:password@auth.example.org', 'https://auth.example.org/?a=b', 'https://auth.example.org/#a',
    ]) assert.throws(() => create({ issuer }), TypeError, issuer);
    const issuer = 'http://latchet.internal:8080';
    assert.equal(typeof create({ issuer, allowPlainHttp: true }), 'function');
    assert.throws(() => create({ issuer: 'ftp://latchet.internal', allowPlainHttp: true }), TypeError);
  }
});
