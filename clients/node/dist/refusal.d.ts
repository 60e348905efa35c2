/** Refusal of a request: 400, 401 or 403, or 503 if Latchet gives no answer. */
export declare class Refusal extends Error {
    readonly status: number;
    readonly code: string;
    readonly name = "Refusal";
    readonly headers: Record<string, string>;
    constructor(status: number, code: string, detail: string, headers: Record<string, string>);
    /** Returns the body of the response: a problem (RFC 9457) as Latchet itself sends it. */
    body(): string;
}
export declare const missingToken: () => Refusal;
export declare const ambiguousToken: () => Refusal;
export declare const invalidToken: (code: string, detail: string) => Refusal;
export declare const insufficientScope: () => Refusal;
/** Returns the refusal for a fault of Latchet or of the network: nothing is known about the token. */
export declare const unavailable: (retryAfter?: string | null) => Refusal;
