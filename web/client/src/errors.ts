// Why something was not done. The server's codes pass through as they are.

import type { Scope } from './scope.js';

/** What the server says, and what this client adds: programs switch on it. */
export type ErrorCode =
  // The server's.
  | 'missing_token' | 'malformed_token' | 'invalid_token' | 'token_expired' | 'wrong_token_type' | 'token_revoked'
  | 'token_outdated'
  | 'fresh_token_required' | 'insufficient_scope' | 'csrf_failed' | 'invalid_credentials' | 'refresh_reused'
  | 'session_expired' | 'session_revoked' | 'weak_password' | 'conflict' | 'not_found' | 'validation_failed'
  | 'too_many_requests' | 'unavailable' | 'internal'
  // The server could not be reached, or did not answer in time.
  | 'network'
  // What answered is not Latchet: a proxy's page, a captive portal.
  | 'unexpected_answer'
  // There is no browser here.
  | 'inert'
  | (string & {});

/** What every promise of this client is rejected with. */
export class AuthError extends Error {
  constructor(
    /** Stable name of the reason. */
    readonly code: ErrorCode,
    message: string = code,
    /** HTTP status; 0 where there was no answer. */
    readonly status: number = 0,
    /** Seconds until another try makes sense; 0 where that is not known. */
    readonly retryAfter: number = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'AuthError';
  }
}

/** Waits for an answer in JSON; rejected with what went wrong. */
export const answerOf = async (scope: Scope, sent: Promise<Response>): Promise<any> => {
  const response = await sent.catch((cause) => {
    throw cause instanceof AuthError ? cause : new AuthError('network', cause.message, 0, 0, { cause });
  });
  const { ok, status, headers } = response;
  const body = await response.json().catch(() => null);
  if (ok && (body || status === 204)) return body;
  const after = headers.get('Retry-After');
  // Seconds or a date (RFC 9110, 10.2.3).
  const seconds = Number(after) || (Date.parse(after!) - scope.Date.now()) / 1000;
  // Others have a `code` as well; a problem repeats the status (RFC 9457, 3.1.2).
  const code = body?.status === status ? body.code : 'unexpected_answer';
  throw new AuthError(code, body?.detail, status, seconds > 0 ? seconds : 0);
};
