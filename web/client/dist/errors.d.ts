import type { Scope } from './scope.js';
/** Codes of the server, and those that this client adds. */
export type ErrorCode = 'missing_token' | 'malformed_token' | 'invalid_token' | 'token_expired' | 'wrong_token_type' | 'token_revoked' | 'token_outdated' | 'fresh_token_required' | 'insufficient_scope' | 'csrf_failed' | 'invalid_credentials' | 'refresh_reused' | 'session_expired' | 'session_revoked' | 'weak_password' | 'conflict' | 'not_found' | 'validation_failed' | 'invalid_code' | 'too_many_requests' | 'unavailable' | 'internal' | 'network' | 'unexpected_answer' | 'inert' | 'storage' | (string & {});
/** The error that every promise of this client is rejected with. */
export declare class AuthError extends Error {
    /** Stable code of the reason. */
    readonly code: ErrorCode;
    /** Text of the reason, the same as `message`. */
    readonly detail: string;
    /** HTTP status; 0 without a response. */
    readonly status: number;
    /** Seconds to wait before a retry; 0 if unknown. */
    readonly retryAfter: number;
    constructor(
    /** Stable code of the reason. */
    code: ErrorCode, 
    /** Text of the reason, the same as `message`. */
    detail?: string, 
    /** HTTP status; 0 without a response. */
    status?: number, 
    /** Seconds to wait before a retry; 0 if unknown. */
    retryAfter?: number);
}
/** Waits for a response and returns its JSON body; rejected with an `AuthError`. */
export declare const jsonBodyOf: (scope: Scope, sent: Promise<Response>) => Promise<any>;
