// The methods of the client, for pages and apps alike.

import type { Auth, Options, Session } from './api.js';
import { jsonBodyOf } from './errors.js';
import { asPrefix, sendWithToken } from './requests.js';
import type { Scope } from './scope.js';
import type { Server } from './server.js';
import { openSession } from './session.js';

/** Creates the client of a session at `server`. */
export const createClient = (scope: Scope, server: Server, base: URL, attachTo: Options['attachTo'] = [base]): Auth => {
  const absolute = (url: string | URL) => new URL(url, scope.document.baseURI);
  const targets = attachTo.map((url) => asPrefix(absolute(url)));
  const call = (method: string, path: string, body?: object) =>
    jsonBodyOf(scope, sendWithToken(scope, session, server.createRequest(method, path, body)));
  const session = openSession(scope, server, 'latchet:' + base, () => call('GET', 'v1/verify'));
  const { state, subscribe, token, dispose, login } = session;
  const logout: Auth['logout'] = ({ everywhere } = {}) =>
    session.endSessions(everywhere && (() => call('POST', 'v1/logout/all')));
  const fetch: Auth['fetch'] = async (input, init) => {
    const request = new Request(input instanceof Request ? input : absolute(input), init);
    const isTarget = targets.some((target) => asPrefix(request.url).startsWith(target));
    return isTarget && !request.headers.has('Authorization')
      ? sendWithToken(scope, session, request) : scope.fetch(request);
  };

  /** Lists the sessions of a page and of those after it. */
  const listSessions = async (query: string): Promise<Session[]> => {
    const { items, next } = await call('GET', 'v1/me/sessions' + query);
    return next ? [...items, ...await listSessions('?after=' + encodeURIComponent(next))] : items;
  };

  return {
    login,
    register: (account: object) => server.post('v1/register', account),
    resetPassword: (reset) => server.post('v1/password/reset', reset),
    logout,
    token,
    fetch,
    json: (input, init) => jsonBodyOf(scope, fetch(input, init)),
    call,
    state,
    subscribe,
    sessions: () => listSessions(''),
    // A logout also clears the cookies of the page's own session.
    revoke: (id) => (state().sessionId === id ? logout() : call('DELETE', 'v1/me/sessions/' + encodeURIComponent(id))),
    reauthenticate: (password) => session.adoptAccessToken(() => call('POST', 'v1/reauthenticate', { password })),
    changePassword: ({ currentPassword, newPassword }) =>
      session.adoptRotation(() =>
        call('POST', 'v1/me/password', { current_password: currentPassword, new_password: newPassword })),
    dispose,
  };
};
