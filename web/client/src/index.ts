// Keeps a page signed in at a Latchet server.
//
// The access token is in memory and shared with other tabs of the origin; the refresh token is in a cookie
// that no script can read. Nothing is written to storage, and the global `fetch` is not changed.

import type { Auth, Options, State } from './api.js';
import { createClient } from './client.js';
import { connectByCookies } from './cookies.js';
import { AuthError, jsonBodyOf } from './errors.js';
import type { Scope } from './scope.js';
import { UNKNOWN_STATE } from './session.js';

export type {
  Account, Auth, Credentials, MailChallenge, MailProof, Options, Session, State, User,
} from './api.js';
export { AuthError, type ErrorCode } from './errors.js';

/** Returns the state during server-side rendering, and in the browser until the server has responded. */
export const serverState = (): State => UNKNOWN_STATE;

/** Creates a client. Without a browser it is inert: it knows no session and sends no token. */
export const createAuth = (options: Options, scope: Scope = globalThis as unknown as Scope): Auth => {
  if (!scope.document) return inert(scope);
  const base = new URL(options.baseUrl, scope.document.baseURI);
  return createClient(scope, connectByCookies(scope, base, options.cookiePrefix), base, options.attachTo);
};

const inert = (scope: Scope): Auth => {
  const refuse = async () => { throw new AuthError('inert'); };
  return {
    login: refuse,
    register: refuse,
    resetPassword: refuse,
    logout: refuse,
    token: async () => null,
    fetch: (input, init) => scope.fetch(input, init),
    json: (input, init) => jsonBodyOf(scope, scope.fetch(input, init)),
    call: refuse,
    state: serverState,
    subscribe: () => () => {},
    sessions: refuse,
    revoke: refuse,
    reauthenticate: refuse,
    changePassword: refuse,
    dispose: () => {},
  };
};
