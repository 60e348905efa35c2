// Errors of the client. The server's codes are passed on unchanged.

import type { Scope } from './scope.js';

/** Codes of the server, and those that this client adds. */
export type ErrorCode =
  // Codes of the server.
  | 'missing_token' | 'malformed_token' | 'invalid_token' | 'token_expired' | 'wrong_token_type' | 'token_revoked'
  | 'token_outdated'
  | 'fresh_token_required' | 'insufficient_scope' | 'csrf_failed' | 'invalid_credentials' | 'refresh_reused'
  | 'session_expired' | 'session_revoked' | 'weak_password' | 'conflict' | 'not_found' | 'validation_failed'
  | 'invalid_code' | 'too_many_requests' | 'unavailable' | 'internal'
  // The server could not be reached, or did not respond in time.
  | 'network'
  // The response has no problem with a code: it is from another service, a proxy or a captive portal.
  | 'unexpected_answer'
  // There is no browser here.
  | 'inert'
  // The storage of an app cannot be read or written.
  | 'storage'
  | (string & {});

/** The error that every promise of this client is rejected with. */
export class AuthError extends Error {
  constructor(
    /** Stable code of the reason. */
    readonly code: ErrorCode,
    /** Text of the reason, the same as `message`. */
    readonly detail: string = code,
    /** HTTP status; 0 without a response. */
    readonly status: number = 0,
    /** Seconds to wait before a retry; 0 if unknown. */
    readonly retryAfter: number = 0,
  ) {
    super(detail);
    this.name = 'AuthError';
  }
}

/** Waits for a response and returns its JSON body; rejected with an `AuthError`. */
export const jsonBodyOf = async (scope: Scope, sent: Promise<Response>): Promise<any> => {
  const response = await sent.catch((cause) => {
    throw cause instanceof AuthError ? cause : new AuthError('network', cause.message);
  });
  const { ok, status, headers } = response;
  const body = await response.json().catch(() => {});
  // A captive portal responds with 200 and a page.
  if (ok && (body !== undefined || status === 204)) return body;
  const after = headers.get('Retry-After');
  // Seconds or a date (RFC 9110, 10.2.3).
  const seconds = Number(after) || (Date.parse(after!) - scope.Date.now()) / 1000;
  // Other servers have a `code`, too, but a problem also repeats the status (RFC 9457, 3.1.2).
  const code = body?.status === status ? body.code : 'unexpected_answer';
  throw new AuthError(code, body?.detail, status, seconds > 0 ? seconds : 0);
};
