import { ambiguousToken, invalidToken, missingToken } from './refusal.js';
const MAX_LENGTH = 8192;
const COMPACT_JWT = /^[\w-]+\.[\w-]+\.[\w-]*$/;
/**
 * Returns the one token in the lines of `Authorization`. A line may join several credentials with commas;
 * those of other schemes are skipped.
 */
export const bearerToken = (lines) => {
    const credentials = lines.flatMap((line) => line.split(',')).map((text) => text.trim());
    const tokens = credentials.filter((text) => /^bearer(?![^ \t])/i.test(text)).map((text) => text.slice(6).trim());
    const [token] = tokens;
    if (token === undefined)
        throw missingToken();
    // A proxy in front may have checked the other one.
    if (tokens.length > 1)
        throw ambiguousToken();
    if (token.length > MAX_LENGTH)
        throw invalidToken('malformed_token', 'the token is malformed: it is longer than 8 kB');
    if (!COMPACT_JWT.test(token))
        throw invalidToken('malformed_token', 'the token is malformed: it is not a JWT');
    return token;
};
/** Returns the lines of `Authorization` in the raw headers of Node: the parsed headers keep only the first. */
export const authorizationLines = (rawHeaders) => rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization');
