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

  const request = (method: string, path: string, body?: object, token?: string | null): Request =>
    new Request(new URL(base.pathname.replace(/\/$/, '') + path, base), {
      method,
      body: body ? JSON.stringify(body) : null,
      headers: {
        'Content-Type': 'application/json',
        'X-CSRF-Token': csrf(),
        ...(token && { Authorization: `Bearer ${token}` }),
      },
      credentials: 'include',
      signal: patience(scope, PATIENCE_MS),
    });

  const post = (path: string, body: object, token?: string | null) =>
    answerOf(scope, scope.fetch(request('POST', path, body, token)));

  return {
    csrf,
    request,
    post,
    remember: (value: string) => { told = value; },
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => isReadable && !csrf(),
    /** Sends a request that is answered with tokens. */
    grant: async (path: string, body: object): Promise<Grant> => {
      const answer = await post(path, body);
      if (!answer?.access_token) throw new AuthError('unexpected_answer');
      return {
        token: answer.access_token,
        sid: answer.session_id,
        csrf: answer.csrf_token,
        life: answer.expires_in * 1000,
        age: 0,
      };
    },
  };
};
