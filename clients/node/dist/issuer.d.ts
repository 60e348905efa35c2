/** Options of both modes. */
export interface IssuerOptions {
    /** URL of Latchet: `https`, or `http` on loopback. */
    issuer: string;
    /**
     * Scopes that a token must have, separated by spaces. Without them, tokens that are limited to some scopes are
     * refused; those of programs (services) always are.
     */
    scope?: string;
    /** Time for a response of Latchet, in ms; 2000 by default. */
    timeoutMs?: number;
    /** Permits `http` to other machines: anyone on the network path can then read tokens and admit users. */
    allowPlainHttp?: boolean;
    /** Receives one line when checks begin to fail; `console.error` by default. */
    log?: (line: string) => void;
}
/** Connection to Latchet. */
export declare class IssuerConnection {
    #private;
    private readonly options;
    readonly timeoutMs: number;
    constructor(options: IssuerOptions);
    /** Returns the URL of a path at the issuer; throws if tokens or keys are not safe on the way. */
    url(base: string, path?: string): string;
    /** Fetches JSON from a path of the issuer. */
    fetchJson(path: string, headers?: Record<string, string>): Promise<[Response, any]>;
    succeeded(): void;
    /** Logs the first failure after a success. */
    failed(reason: any): void;
}
/** Returns a number of milliseconds within its limits. */
export declare const milliseconds: (name: string, value: number, minimum: number, maximum: number) => number;
