// The session of a browser: the refresh token is in a cookie that no script can read, and each request that
// uses the cookie repeats the CSRF value.

import { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import { parseGrant, requestsTo, type Server } from './server.js';

/** Start of the names of the server's cookies; the server writes its own into the client that it serves. */
export const PREFIX = 'latchet';

/** Connects to the server at `base` by cookies. */
export const connectByCookies = (scope: Scope, base: URL, prefix: string = PREFIX): Server => {
  let canReadCookies = false;
  try {
    // They are bound to the host, not to a port. Browsers that block storage throw, as in a sandboxed frame.
    canReadCookies = scope.document.cookie !== undefined && base.hostname === scope.location.hostname;
  } catch {
    // The session lasts as long as the access token.
  }
  const isHttps = base.protocol === 'https:';
  /** Names of the CSRF cookie, with `=`: first those that only this host can set over https, then by port. */
  const names = (isHttps ? ['__Host-', ''] : ['', '__Host-']).flatMap((kind) =>
    ['_' + (base.port || (isHttps ? 443 : 80)), ''].map((port) => kind + prefix + port + '_csrf='));
  /** The CSRF value of the last response, for pages of another host. */
  let lastCsrf = '';
  /** Values that the server has refused, for example from a cookie that another host has set. */
  const refusedValues = new Set<string>();

  /** Returns the CSRF values that the page knows, the preferred one first. */
  const csrfValues = (): string[] => {
    if (!canReadCookies) return [lastCsrf];
    const pairs = scope.document.cookie.split('; ');
    return names.flatMap((name) => pairs.flatMap((pair) => (pair.startsWith(name) && pair.slice(name.length)) || []));
  };

  const proof = (): string => {
    const values = csrfValues().filter((value) => !refusedValues.has(value));
    return values.find((value) => value === lastCsrf) ?? values[0] ?? '';
  };

  const { createRequest, post } = requestsTo(scope, base, 'include', () => ({ 'X-CSRF-Token': proof() }));

  return {
    proof,
    createRequest,
    post,
    acceptTokens: parseGrant,
    rememberProof: (value) => { lastCsrf = value; },
    excludeProof: (value) => { refusedValues.add(value); },
    missingProofError: () =>
      (csrfValues()[0] ? new AuthError('csrf_failed', undefined, 403) : new AuthError('missing_token', undefined, 401)),
    hasNoSession: () => canReadCookies && !csrfValues()[0],
    sendLogin: async (credentials) => parseGrant(await post('v1/login', { ...credentials, transport: 'cookie' })),
    sendRefresh: async (key, controller) =>
      parseGrant(await post('v1/refresh', {}, { 'Idempotency-Key': key }, controller)),
    sendLogout: (token) => post('v1/logout', {}, token && { Authorization: 'Bearer ' + token }),
  };
};
