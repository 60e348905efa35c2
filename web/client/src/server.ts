// Speaks to the server about the session: cookies travel by themselves, the CSRF value by header.

import { answerOf, AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';

/** A request without an answer must not hold up all others for ever. */
const PATIENCE_MS = 30_000;

export type Server = ReturnType<typeof connect>;

/** Returns a signal that gives up after a while, or when `controller` aborts. */
export const patience = (scope: Scope, ms: number, controller = new AbortController()): AbortSignal => {
  scope.setTimeout(() => controller.abort(), ms);
  return controller.signal;
};

/** Beginning of the names of the server's cookies; the server writes its own into the client that it serves. */
export const PREFIX = 'latchet';

/** Sorts names of cookies: those that only this host can set over https, and those of this server's port, first. */
const namesOf = (base: URL, prefix: string): string[] => {
  const isHttps = base.protocol === 'https:';
  const ofPort = `${prefix}_${base.port || (isHttps ? 443 : 80)}_csrf`;
  const names = [ofPort, `${prefix}_csrf`];
  const ofHost = names.map((name) => `__Host-${name}`);
  return isHttps ? [...ofHost, ...names] : [...names, ...ofHost];
};

/** True if cookies can be read at all: browsers that block storage throw, as in a sandboxed frame. */
const hasCookies = ({ document }: Scope): boolean => {
  try {
    return typeof document.cookie === 'string';
  } catch {
    return false;
  }
};

export const connect = (scope: Scope, base: URL, prefix: string = PREFIX) => {
  /** Whether the page can read the server's cookies. They know no ports. */
  const isReadable = base.hostname === scope.location.hostname && hasCookies(scope);
  const names = namesOf(base, prefix);
  /** The CSRF value as the server told it, for pages of another host. */
  let told = '';
  /** Values that the server has refused, such as a cookie that another host has planted. */
  const wrong = new Set<string>();

  /** Returns the CSRF values that the page can read, the best first. */
  const readable = (): string[] => {
    const pairs = scope.document.cookie.split('; ').map((pair) => pair.split('='));
    return names.flatMap((name) => pairs.filter(([known, value]) => known === name && value).map(([, value]) => value!));
  };

  /** Returns what proves that a request comes from a page that may read it; empty without a session. */
  const csrf = (): string => {
    if (!isReadable) return told;
    const values = readable().filter((value) => !wrong.has(value));
    return values.find((value) => value === told) ?? values[0] ?? '';
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
      signal: patience(scope, PATIENCE_MS, controller),
    });

  const post = (path: string, body: object, headers?: Record<string, string>, controller?: AbortController) =>
    answerOf(scope, scope.fetch(request('POST', path, body, headers, controller)));

  /** Reads the tokens of an answer. */
  const grantOf = (answer: any): Grant => {
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
    grantOf,
    remember: (value: string) => { told = value; },
    /** Sends a refused value no more; returns whether there is another one to try. */
    reject: (value: string): boolean => {
      wrong.add(value);
      const next = csrf();
      return next !== '' && next !== value;
    },
    /** Why there is no CSRF value to send. */
    csrfFault: (): AuthError => (isReadable && readable()[0]
      ? new AuthError('csrf_failed', undefined, 403) : new AuthError('missing_token', undefined, 401)),
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => isReadable && !readable()[0],
    login: async (body: object) => grantOf(await post('v1/login', body)),
    /** Asks for the next tokens; the same `key` again where the answer was lost. */
    refresh: async (key: string, controller: AbortController) =>
      grantOf(await post('v1/refresh', {}, { 'Idempotency-Key': key }, controller)),
    /** Ends the session of `token`, or without one that of the cookie. */
    logout: (token: string | null) => post('v1/logout', {}, token ? { Authorization: `Bearer ${token}` } : {}),
  };
};
