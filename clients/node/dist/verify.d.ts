import { type IssuerOptions } from './issuer.js';
import { type User } from './user.js';
/** Check of an access token: resolves to its user, or rejects with a `Refusal`. */
export type TokenCheck = (token: string) => Promise<User>;
/** Options of verify mode. */
export interface VerifyOptions extends IssuerOptions {
    /**
     * Time for which an answer is used again, counted from the moment its question was sent, in ms. A logout
     * takes effect this much later at most: 1000 by default, which is also the maximum; 0 turns the cache off.
     */
    cacheMs?: number;
}
/**
 * Returns a check that asks Latchet (`GET /v1/verify`). Middleware that share it share its cache.
 *
 * An answer counts for checks that begin within `cacheMs` after its question was sent: simultaneous ones,
 * which wait for it, and later ones. Only positive answers are kept.
 */
export declare function verify(options: VerifyOptions): TokenCheck;
/** Returns the check of the lines of `Authorization`, in verify mode or by another check. */
export declare const requestCheck: (options: VerifyOptions | TokenCheck) => (lines: string[]) => Promise<User>;
