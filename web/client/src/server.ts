// Requests to the server about the session: the browser sends the cookies, the client adds the CSRF header.

import { jsonBodyOf, AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';

/** Timeout of a request: one without a response must not block all others forever. */
const REQUEST_TIMEOUT_MS = 30_000;

export type Server = ReturnType<typeof connect>;

/** Returns a signal that aborts after a timeout, or when `controller` aborts. */
export const timeoutSignal = (scope: Scope, ms: number, controller = new AbortController()): AbortSignal => {
  scope.setTimeout(() => controller.abort(), ms);
  return controller.signal;
};

/** Start of the names of the server's cookies; the server writes its own into the client that it serves. */
export const PREFIX = 'latchet';

/** Returns the names of the CSRF cookie: first those that only this host can set over https, then by port. */
const csrfCookieNames = (base: URL, prefix: string): string[] => {
  const isHttps = base.protocol === 'https:';
  const ofPort = `${prefix}_${base.port || (isHttps ? 443 : 80)}_csrf`;
  const names = [ofPort, `${prefix}_csrf`];
  const ofHost = names.map((name) => `__Host-${name}`);
  return isHttps ? [...ofHost, ...names] : [...names, ...ofHost];
};

/** Returns whether cookies can be read at all: browsers that block storage throw, as in a sandboxed frame. */
const hasCookies = ({ document }: Scope): boolean => {
  try {
    return typeof document.cookie === 'string';
  } catch {
    return false;
  }
};

export const connect = (scope: Scope, base: URL, prefix: string = PREFIX) => {
  /** True if the page can read the server's cookies. They are not bound to a port. */
  const canReadCookies = base.hostname === scope.location.hostname && hasCookies(scope);
  const names = csrfCookieNames(base, prefix);
  /** The CSRF value of the last response, for pages of another host. */
  let lastCsrf = '';
  /** Values that the server has refused, for example from a cookie that another host has set. */
  const refusedValues = new Set<string>();

  /** Returns the CSRF values that the page can read, the preferred one first. */
  const csrfCookieValues = (): string[] => {
    const pairs = scope.document.cookie.split('; ').map((pair) => pair.split('='));
    return names.flatMap((name) => pairs.filter(([known, value]) => known === name && value).map(([, value]) => value!));
  };

  /** Returns the CSRF value to send; empty without a session. */
  const csrf = (): string => {
    if (!canReadCookies) return lastCsrf;
    const values = csrfCookieValues().filter((value) => !refusedValues.has(value));
    return values.find((value) => value === lastCsrf) ?? values[0] ?? '';
  };

  const request = (
    method: string, path: string, body?: object, headers?: Record<string, string>, controller?: AbortController,
  ): Request =>
    new Request(`${base}`.replace(/\/?$/, '/') + path, {
      method,
      body: body ? JSON.stringify(body) : null,
      headers: {
        'Content-Type': 'application/json',
        'X-CSRF-Token': csrf(),
        ...headers,
      },
      credentials: 'include',
      signal: timeoutSignal(scope, REQUEST_TIMEOUT_MS, controller),
    });

  const post = (path: string, body: object, headers?: Record<string, string>, controller?: AbortController) =>
    jsonBodyOf(scope, scope.fetch(request('POST', path, body, headers, controller)));

  /** Reads the tokens of a response. */
  const parseGrant = (answer: any): Grant => {
    if (!answer?.access_token) throw new AuthError('unexpected_answer');
    return {
      token: answer.access_token,
      sid: answer.session_id,
      csrf: answer.csrf_token ?? csrf(),
      life: answer.expires_in * 1000,
      age: 0,
    };
  };

  return {
    csrf,
    request,
    parseGrant,
    rememberCsrf: (value: string) => { lastCsrf = value; },
    /** Excludes a refused value; returns whether there is another one to try. */
    excludeCsrf: (value: string): boolean => {
      refusedValues.add(value);
      const next = csrf();
      return next !== '' && next !== value;
    },
    /** Returns the error for a refresh without a CSRF value. */
    missingCsrfError: (): AuthError => (canReadCookies && csrfCookieValues()[0]
      ? new AuthError('csrf_failed', undefined, 403) : new AuthError('missing_token', undefined, 401)),
    /** Returns whether the session certainly has no cookies. */
    hasNoCookies: () => canReadCookies && !csrfCookieValues()[0],
    login: async (body: object) => parseGrant(await post('v1/login', body)),
    /** Requests the next tokens; a retry repeats the `key`. */
    refresh: async (key: string, controller: AbortController) =>
      parseGrant(await post('v1/refresh', {}, { 'Idempotency-Key': key }, controller)),
    /** Ends the session of `token`; without a token, the session of the cookie. */
    logout: (token: string | null) => post('v1/logout', {}, token ? { Authorization: `Bearer ${token}` } : {}),
  };
};
