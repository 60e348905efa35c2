// Keeps a page signed in at a Latchet server.
//
// The access token is in memory and shared with other tabs of the origin; the refresh token is in a cookie
// that no script can read. Nothing is written to storage, and the global `fetch` is not changed.

import type { Auth, Options, Session, State } from './api.js';
import { jsonBodyOf, AuthError } from './errors.js';
import { openSession, UNKNOWN_STATE } from './session.js';
import { isTarget, sendWithToken } from './requests.js';
import type { Scope } from './scope.js';
import { connect } from './server.js';

export type { Auth, Credentials, Options, Session, State } from './api.js';
export { AuthError, type ErrorCode } from './errors.js';

/** Returns the state during server-side rendering, and in the browser until the server has responded. */
export const serverState = (): State => UNKNOWN_STATE;

/** Creates a client. Without a browser it is inert: it knows no session and sends no token. */
export const createAuth = (options: Options, scope: Scope = globalThis as unknown as Scope): Auth => {
  if (!scope.document) return inert(scope);
  const absolute = (url: string | URL) => new URL(url, scope.document.baseURI);
  const base = absolute(options.baseUrl);
  const targets = (options.attachTo ?? [base]).map(absolute);
  const server = connect(scope, base, options.cookiePrefix);
  const session = openSession(scope, server, `latchet:${base}`);
  const { state, subscribe, token, dispose } = session;

  const call = (method: string, path: string, body?: object) =>
    jsonBodyOf(scope, sendWithToken(scope, session, server.request(method, path, body)));
  const logout: Auth['logout'] = ({ everywhere } = {}) =>
    session.logout(everywhere ? () => call('POST', 'v1/logout/all') : undefined);

  return {
    login: (credentials) => session.login({ ...credentials, transport: 'cookie' }),
    logout,
    token,
    fetch: async (input, init) => {
      const url = absolute(input instanceof Request ? input.url : input);
      if (!isTarget(targets, url)) return scope.fetch(input, init);
      const request = new Request(input instanceof Request ? input : url, init);
      return request.headers.has('Authorization') ? scope.fetch(request) : sendWithToken(scope, session, request);
    },
    state,
    subscribe,
    sessions: async () => {
      const all: Session[] = [];
      for (let after = ''; ;) {
        const { items, next } = await call('GET', `v1/me/sessions${after && `?after=${encodeURIComponent(after)}`}`);
        all.push(...items);
        if (!(after = next)) return all;
      }
    },
    revoke: (id) => {
      // A logout also clears the cookies of the page's own session.
      const isOwn = state().sessionId === id;
      return isOwn ? logout() : call('DELETE', `v1/me/sessions/${encodeURIComponent(id)}`);
    },
    reauthenticate: (password) => session.adoptAccessToken(() => call('POST', 'v1/reauthenticate', { password })),
    changePassword: ({ currentPassword, newPassword }) =>
      session.adoptRotation((withLock) => {
        const body = { current_password: currentPassword, new_password: newPassword };
        // Not while another tab refreshes: its late response would set the older cookie again.
        const lockedScope = { fetch: (request: RequestInfo | URL) => withLock(() => scope.fetch(request)) };
        return jsonBodyOf(scope, sendWithToken(lockedScope, session, server.request('POST', 'v1/me/password', body)));
      }),
    dispose,
  };
};

const inert = (scope: Scope): Auth => {
  const refuse = async () => { throw new AuthError('inert'); };
  return {
    login: refuse,
    logout: refuse,
    token: async () => null,
    fetch: (input, init) => scope.fetch(input, init),
    state: serverState,
    subscribe: () => () => {},
    sessions: refuse,
    revoke: refuse,
    reauthenticate: refuse,
    changePassword: refuse,
    dispose: () => {},
  };
};
