// Keeps an app signed in at a Latchet server, without a browser: React Native and Expo.
//
// The access token is in memory; the refresh token is in a storage that only the app can read.

import type { Auth, Options as PageOptions } from './api.js';
import { createClient } from './client.js';
import type { Scope } from './scope.js';
import { connectByStorage, type Storage } from './storage.js';

export type { Account, Auth, Credentials, MailChallenge, MailProof, Session, State, User } from './api.js';
export { AuthError, type ErrorCode } from './errors.js';
export type { Storage } from './storage.js';

/** Address of the server, the targets of the token, and the parts of the device that the client uses. */
export interface Options extends Pick<PageOptions, 'baseUrl' | 'attachTo'> {
  /** Storage of the refresh token. */
  storage: Storage;
  /** Source of random values. The default is the global `crypto`, which React Native does not have. */
  crypto?: { getRandomValues<T extends Uint32Array>(array: T): T };
  /** Calls `listener` when the app comes to the front; returns a function that unsubscribes. */
  onForeground?(listener: () => void): () => void;
}

/** Creates a client. Create one for the whole app: two would refresh the same token. */
export const createAuth = (options: Options, scope = globalThis as unknown as Scope): Auth => {
  const base = new URL(options.baseUrl);
  const ofApp = appScope(options, base, scope);
  const server = connectByStorage(ofApp, base, options.storage);
  // The session waits for its lock before it uses the storage.
  ofApp.navigator = { locks: { request: async (_name: string, _options: object, run: () => unknown) => {
    await server.open();
    return run();
  } } as unknown as LockManager };
  return createClient(ofApp, server, base, options.attachTo);
};

/** Returns what the client expects of a browser. There are no tabs, and the app is always visible. */
const appScope = ({ crypto, onForeground }: Options, base: URL, scope: Scope): Scope => {
  const random = crypto ?? scope.crypto;
  if (!random) throw new TypeError('this device has no global `crypto`: pass it to createAuth, for example that of expo-crypto');
  let unsubscribe: (() => void) | undefined;
  const addEventListener = (type: string, listener: (event: object) => void) => {
    if (type === 'focus') unsubscribe = onForeground?.(() => listener({ type }));
  };
  const removeEventListener = (type: string) => {
    if (type === 'focus') unsubscribe?.();
  };
  return {
    fetch: (input: RequestInfo | URL, init?: RequestInit) => scope.fetch(input, init),
    setTimeout: scope.setTimeout.bind(scope),
    clearTimeout: scope.clearTimeout.bind(scope),
    performance: scope.performance,
    console: scope.console,
    Date: scope.Date,
    Math: scope.Math,
    crypto: random,
    location: { hostname: base.hostname },
    document: { baseURI: base.href, cookie: '', visibilityState: 'visible', addEventListener: () => {}, removeEventListener: () => {} },
    addEventListener,
    removeEventListener,
    navigator: {},
  } as unknown as Scope;
};
