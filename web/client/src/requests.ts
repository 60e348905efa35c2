// Requests of the page: the targets of the token, and the one retry.

import type { Scope } from './scope.js';
import type { SessionHandle } from './session.js';

/** Returns a URL without query and fragment, with a slash at its end: a prefix of all URLs below it. */
export const asPrefix = (url: URL | string): string => (url + '').replace(/\/?([?#].*)?$/, '/');

/** Sends a request with the token, and repeats it once, with its body, if the token is refused. */
export const sendWithToken = async (scope: Scope, session: SessionHandle, request: Request): Promise<Response> => {
  const token = await session.token();
  if (!token) return scope.fetch(request);
  const { sessionId } = session.state();
  const retry = request.clone();
  request.headers.set('Authorization', 'Bearer ' + token);
  const response = await scope.fetch(request);
  if (response.status !== 401) return response;
  // RFC 6750, 3.1. A page of another origin may not see the challenge; then the problem's code decides.
  const reason = response.headers.get('WWW-Authenticate') ?? (await response.clone().json().catch(() => {}))?.code;
  const other = /(^|error="?)invalid_token|^token_/.test(reason) && await session.renew(token);
  // A request of one user must not be repeated for another.
  if (!other || session.state().sessionId !== sessionId) return response;
  retry.headers.set('Authorization', 'Bearer ' + other);
  return scope.fetch(retry);
};
