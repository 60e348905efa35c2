// Requests of the page: who gets the token, and the one repetition.

import type { Keeper } from './keeper.js';
import type { Scope } from './scope.js';

/** Returns whether a URL is one of `targets` or below it. */
export const isBelow = (targets: URL[], url: URL): boolean =>
  targets.some(({ origin, pathname }) =>
    // `null` is the origin of all that have none.
    origin === url.origin && origin !== 'null' && `${url.pathname}/`.startsWith(pathname.replace(/\/?$/, '/')));

/** Sends a request with the token, and once more, whole, when that was refused. */
export const sendWithToken = async (scope: Pick<Scope, 'fetch'>, keeper: Keeper, request: Request): Promise<Response> => {
  const token = await keeper.token();
  if (!token) return scope.fetch(request);
  // The same object for as long as it is the same session.
  const session = keeper.state();
  const spare = request.clone();
  request.headers.set('Authorization', `Bearer ${token}`);
  const response = await scope.fetch(request);
  const other = await blamesToken(response) && await keeper.renew(token);
  // What one person asked for is not asked for another.
  if (!other || keeper.state() !== session) return response;
  spare.headers.set('Authorization', `Bearer ${other}`);
  return scope.fetch(spare);
};

/**
 * Returns whether a new token would help (RFC 6750, 3.1). A page of another origin may not see the
 * challenge, so that the problem's code stands in for it.
 */
const blamesToken = async (response: Response): Promise<boolean> => {
  if (response.status !== 401) return false;
  const challenge = response.headers.get('WWW-Authenticate');
  if (challenge) return /error="?invalid_token/.test(challenge);
  const problem = await response.clone().json().catch(() => null);
  return /^(token_|invalid_token)/.test(problem?.code);
};
