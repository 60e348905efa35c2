// Requests of the page: the targets of the token, and the one retry.

import type { SessionHandle } from './session.js';
import type { Scope } from './scope.js';

/** Returns whether a URL is one of `targets` or below it. */
export const isTarget = (targets: URL[], url: URL): boolean =>
  targets.some(({ origin, pathname }) =>
    // `null` is the origin of every URL without one.
    origin === url.origin && origin !== 'null' && `${url.pathname}/`.startsWith(pathname.replace(/\/?$/, '/')));

/** Sends a request with the token, and repeats it once, with its body, if the token is refused. */
export const sendWithToken = async (scope: Pick<Scope, 'fetch'>, session: SessionHandle, request: Request): Promise<Response> => {
  const token = await session.token();
  if (!token) return scope.fetch(request);
  // The same object as long as the session is the same.
  const state = session.state();
  const retry = request.clone();
  request.headers.set('Authorization', `Bearer ${token}`);
  const response = await scope.fetch(request);
  const other = await isTokenRefused(response) && await session.renew(token);
  // A request of one user must not be repeated for another.
  if (!other || session.state() !== state) return response;
  retry.headers.set('Authorization', `Bearer ${other}`);
  return scope.fetch(retry);
};

/**
 * Returns whether the token was refused (RFC 6750, 3.1). A page of another origin may not see the
 * challenge; then the problem's code decides.
 */
const isTokenRefused = async (response: Response): Promise<boolean> => {
  if (response.status !== 401) return false;
  const challenge = response.headers.get('WWW-Authenticate');
  if (challenge) return /error="?invalid_token/.test(challenge);
  const problem = await response.clone().json().catch(() => null);
  return /^(token_|invalid_token)/.test(problem?.code);
};
