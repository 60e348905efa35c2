import { STATUS_CODES } from 'node:http';
/** Refusal of a request: 400, 401 or 403, or 503 if Latchet gives no answer. */
export class Refusal extends Error {
    status;
    code;
    name = 'Refusal';
    headers;
    constructor(status, code, detail, headers) {
        super(detail);
        this.status = status;
        this.code = code;
        this.headers = { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', ...headers };
    }
    /** Returns the body of the response: a problem (RFC 9457) as Latchet itself sends it. */
    body() {
        const { status, code, message: detail } = this;
        return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, code, detail });
    }
}
const challenge = (error, detail) => ({
    'WWW-Authenticate': `Bearer error="${error}", error_description="${detail}"`,
});
export const missingToken = () => new Refusal(401, 'missing_token', 'no token was sent', { 'WWW-Authenticate': 'Bearer realm="latchet"' });
export const ambiguousToken = () => {
    const detail = 'more than one token was sent: two are in a header';
    return new Refusal(400, 'validation_failed', detail, challenge('invalid_request', detail));
};
export const invalidToken = (code, detail) => new Refusal(401, code, detail, challenge('invalid_token', detail));
export const insufficientScope = () => {
    const detail = 'the token does not carry the role or scope that this needs';
    return new Refusal(403, 'insufficient_scope', detail, challenge('insufficient_scope', detail));
};
/** Returns the refusal for a fault of Latchet or of the network: nothing is known about the token. */
export const unavailable = (retryAfter) => new Refusal(503, 'unavailable', 'the check could not be completed', {
    'Retry-After': retryAfter && /^\d{1,6}$/.test(retryAfter) ? retryAfter : '1',
});
