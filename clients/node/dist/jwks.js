import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { IssuerConnection } from './issuer.js';
import { invalidToken, unavailable } from './refusal.js';
import { assertScopes, userOf } from './user.js';
/** Algorithms with public keys. The secret of any other would have to be shared with Latchet. */
const ALGORITHMS = ['EdDSA', 'ES256', 'RS256'];
const KEY_AGE_MS = 15 * 60_000;
/** Least time between two requests for keys that are caused by tokens of unknown keys. */
const COOLDOWN_MS = 5000;
/**
 * Returns a check by the public keys of Latchet, without a request for each token.
 *
 * **A logout does not end access here: a token is accepted until it expires**, 15 minutes by default. The
 * same applies to a change of roles and to a disabled account.
 */
export const jwks = (options) => {
    const { issuer: name, audience = name, algorithms = ALGORITHMS } = options;
    const isOffered = algorithms.length > 0 && algorithms.every((algorithm) => ALGORITHMS.includes(algorithm));
    if (!isOffered)
        throw new TypeError(`algorithms must be some of ${ALGORITHMS.join(', ')}`);
    const issuer = new IssuerConnection(options);
    const requiredClaims = ['sub', 'jti', 'iat', 'exp'];
    const expected = { issuer: name, audience, algorithms: [...algorithms], typ: 'at+jwt', requiredClaims };
    let found;
    const keys = () => found ??= keysOf(issuer, name).catch((error) => {
        found = undefined;
        throw error;
    });
    return async (token) => {
        const { payload } = await keys().then((key) => jwtVerify(token, key, expected)).catch((error) => {
            const refusal = refusalOf(error);
            if (refusal.status === 503)
                issuer.failed(error);
            throw refusal;
        });
        issuer.succeeded();
        if (payload.type !== 'access')
            throw invalidToken('wrong_token_type', 'this is the wrong kind of token');
        const user = userOf(payload);
        if (!user)
            throw invalidToken('malformed_token', 'the token is malformed: a claim is missing or has the wrong type');
        assertScopes(user, options.scope);
        return user;
    };
};
/** Returns the keys, whose address is in the metadata of the issuer. */
const keysOf = async (issuer, name) => {
    const [, metadata] = await issuer.fetchJson('/.well-known/openid-configuration');
    if (metadata?.issuer !== name)
        throw new Error(`the metadata names the issuer ${metadata?.issuer}`);
    const limits = { timeoutDuration: issuer.timeoutMs, cooldownDuration: COOLDOWN_MS, cacheMaxAge: KEY_AGE_MS };
    const address = issuer.url(metadata.jwks_uri);
    // Keys on `http` would undo the protection of the rest.
    const isProtected = address.startsWith('https:') || !issuer.url(name).startsWith('https:');
    if (!isProtected)
        throw new Error(`the keys of an issuer on https must use https: ${address}`);
    return createRemoteJWKSet(new URL(address), limits);
};
/** Faults of a token. Every other error is a fault of the issuer or of the network. */
const INVALID = [
    errors.JWTClaimValidationFailed, errors.JWSSignatureVerificationFailed, errors.JOSEAlgNotAllowed,
    errors.JOSENotSupported, errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys,
];
const refusalOf = (error) => {
    if (error instanceof errors.JWTExpired)
        return invalidToken('token_expired', 'the token has expired');
    if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) {
        return invalidToken('malformed_token', 'the token is malformed: it is not a JWT');
    }
    if (!INVALID.some((kind) => error instanceof kind))
        return unavailable();
    return invalidToken('invalid_token', 'the token is not valid: its signature, issuer, audience or another claim is wrong');
};
