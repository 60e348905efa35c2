import type { Scope } from './scope.js';
/** What the server says, and what this client adds: programs switch on it. */
export type ErrorCode = 'missing_token' | 'malformed_token' | 'invalid_token' | 'token_expired' | 'wrong_token_type' | 'token_revoked' | 'token_outdated' | 'fresh_token_required' | 'insufficient_scope' | 'csrf_failed' | 'invalid_credentials' | 'refresh_reused' | 'session_expired' | 'session_revoked' | 'weak_password' | 'conflict' | 'not_found' | 'validation_failed' | 'too_many_requests' | 'unavailable' | 'internal' | 'network' | 'unexpected_answer' | 'inert' | (string & {});
/** What every promise of this client is rejected with. */
export declare class AuthError extends Error {
    /** Stable name of the reason. */
    readonly code: ErrorCode;
    /** HTTP status; 0 where there was no answer. */
    readonly status: number;
    /** Seconds until another try makes sense; 0 where that is not known. */
    readonly retryAfter: number;
    constructor(
    /** Stable name of the reason. */
    code: ErrorCode, message?: string, 
    /** HTTP status; 0 where there was no answer. */
    status?: number, 
    /** Seconds until another try makes sense; 0 where that is not known. */
    retryAfter?: number, options?: ErrorOptions);
}
/** Waits for an answer in JSON; rejected with what went wrong. */
export declare const answerOf: (scope: Scope, sent: Promise<Response>) => Promise<any>;
