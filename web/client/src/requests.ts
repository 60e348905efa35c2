// Requests of the page: the targets of the token, and the one retry.

import type { Keeper } from './keeper.js';
import type { Scope } from './scope.js';

/** Returns whether a URL is one of `targets` or below it. */
export const isBelow = (targets: URL[], url: URL): boolean =>
  targets.some(({ origin, pathname }) =>
    // `null` is the origin of every URL without one.
    origin === url.origin && origin !== 'null' && `${url.pathname}/`.startsWith(pathname.replace(/\/?$/, '/')));

/** Sends a request with the token, and repeats it once, with its body, if the token is refused. */
export const sendWithToken = async (scope: Pick<Scope, 'fetch'>, keeper: Keeper, request: Request): Promise<Response> => {
  const token = await keeper.token();
  if (!token) return scope.fetch(request);
  // The same object as long as the session is the same.
  const session = keeper.state();
  const spare = request.clone();
  request.headers.set('Authorization', `Bearer ${token}`);
  const response = await scope.fetch(request);
  const other = await blamesToken(response) && await keeper.renew(token);
  // A request of one user must not be repeated for another.
  if (!other || keeper.state() !== session) return response;
  spare.headers.set('Authorization', `Bearer ${other}`);
  return scope.fetch(spare);
};

/**
 * Returns whether the token was refused (RFC 6750, 3.1). A page of another origin may not see the
 * challenge; then the problem's code decides.
 */
const blamesToken = async (response: Response): Promise<boolean> => {
  if (response.status !== 401) return false;
  const challenge = response.headers.get('WWW-Authenticate');
  if (challenge) return /error="?invalid_token/.test(challenge);
  const problem = await response.clone().json().catch(() => null);
  return /^(token_|invalid_token)/.test(problem?.code);
};
