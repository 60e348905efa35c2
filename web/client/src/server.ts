// Speaks to the server about the session: cookies travel by themselves, the CSRF value by header.

import { answerOf, AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';

/** A request without an answer must not hold up all others for ever. */
const PATIENCE_MS = 30_000;

export type Server = ReturnType<typeof connect>;

/** Returns a signal that gives up after a while. */
export const patience = (scope: Scope, ms: number): AbortSignal => {
  const controller = new AbortController();
  scope.setTimeout(() => controller.abort(), ms);
  return controller.signal;
};

export const connect = (scope: Scope, base: URL) => {
  /** Whether the page can read the server's cookies. They know no ports. */
  const isReadable = base.hostname === scope.location.hostname;
  /** The CSRF value as the server told it, for pages of another host. */
  let told = '';

  /** Returns what proves that a request comes from a page that may read it; empty without a session. */
  const csrf = (): string =>
    (isReadable ? scope.document.cookie.match(/(?:^|; )(?:__Host-)?latchet_csrf=([^;]+)/)?.[1] ?? '' : told);

  const request = (method: string, path: string, body?: object, headers?: Record<string, string>): Request =>
    new Request(`${base}`.replace(/\/?$/, '/') + path, {
      method,
      body: body ? JSON.stringify(body) : null,
      headers: {
        'Content-Type': 'application/json',
        'X-CSRF-Token': csrf(),
        ...headers,
      },
      credentials: 'include',
      signal: patience(scope, PATIENCE_MS),
    });

  const post = (path: string, body: object, headers?: Record<string, string>) =>
    answerOf(scope, scope.fetch(request('POST', path, body, headers)));

  /** Sends a request that is answered with tokens. */
  const grant = async (path: string, body: object, headers?: Record<string, string>): Promise<Grant> =>
    grantOf(await post(path, body, headers));

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
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => isReadable && !csrf(),
    login: (body: object) => grant('v1/login', body),
    /** Asks for the next tokens; the same `key` again where the answer was lost. */
    refresh: (key: string) => grant('v1/refresh', {}, { 'Idempotency-Key': key }),
    /** Ends the session of `token`, or without one that of the cookie. */
    logout: (token: string | null) => post('v1/logout', {}, token ? { Authorization: `Bearer ${token}` } : {}),
  };
};
