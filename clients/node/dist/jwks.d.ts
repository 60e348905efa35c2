import { type IssuerOptions } from './issuer.js';
import type { TokenCheck } from './verify.js';
/** Algorithms with public keys. The secret of any other would have to be shared with Latchet. */
declare const ALGORITHMS: readonly ["EdDSA", "ES256", "RS256"];
/** Options of JWKS mode. */
export interface JwksOptions extends IssuerOptions {
    /** Value that the claim `aud` must contain; the issuer by default, as in Latchet. */
    audience?: string;
    /** Accepted algorithms; all of them by default. */
    algorithms?: readonly (typeof ALGORITHMS)[number][];
}
/**
 * Returns a check by the public keys of Latchet, without a request for each token.
 *
 * **A logout does not end access here: a token is accepted until it expires**, 15 minutes by default. The
 * same applies to a change of roles and to a disabled account.
 */
export declare const jwks: (options: JwksOptions) => TokenCheck;
export {};
