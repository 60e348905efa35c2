// Stands in for expo-secure-store: the same functions and limits, in a file that survives the process.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import assert from 'node:assert/strict';

const { DEVICE, DIE } = process.env;

export const AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY = 3;

const check = (name, options) => {
  assert.match(name, /^[\w.-]+$/);
  assert.equal(options.keychainAccessible, AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY);
};

const read = () => (existsSync(DEVICE) ? JSON.parse(readFileSync(DEVICE, 'utf8')) : {});

export const getItemAsync = async (name, options) => {
  check(name, options);
  return read()[name] ?? null;
};

export const setItemAsync = async (name, value, options) => {
  check(name, options);
  assert.ok(typeof value === 'string' && Buffer.byteLength(value) <= 2048, value);
  // The response of a refresh: the item has no key.
  if (DIE === 'before the response is stored' && !JSON.parse(value).key) process.exit(9);
  writeFileSync(DEVICE, JSON.stringify({ ...read(), [name]: value }));
};

export const deleteItemAsync = async (name, options) => {
  check(name, options);
  rmSync(DEVICE, { force: true });
};
