import type { Credentials } from './api.js';
import { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
/** The server, and the place of the refresh token: the cookie of a browser, or the storage of an app. */
export interface Server {
    /** Returns the secret that a refresh sends: the CSRF value, or the refresh token. Empty without a session. */
    proof(): string;
    /** Remembers the proof of the session; an empty one ends it on this device. */
    rememberProof(value: string): void;
    /** Excludes a refused proof. */
    excludeProof(value: string): void;
    /** Returns the error for a refresh without a proof. */
    missingProofError(): AuthError;
    /** Returns whether there is certainly no session. */
    hasNoSession(): boolean;
    /** Returns a request to the server, without the access token. */
    createRequest(method: string, path: string, body?: object): Request;
    /** Sends a request without the access token. */
    post(path: string, body: object): Promise<any>;
    /** Reads, and stores, the tokens of a response. */
    acceptTokens(answer: any): Grant | Promise<Grant>;
    sendLogin(credentials: Credentials): Promise<Grant>;
    /** Requests the next tokens; a retry repeats the `key`. */
    sendRefresh(key: string, controller: AbortController): Promise<Grant>;
    /** Ends the session of `token`; without a token, the session of this device. */
    sendLogout(token: string | null): Promise<unknown>;
}
/** Returns a signal that aborts after a timeout, or when `controller` aborts. */
export declare const timeoutSignal: (scope: Scope, ms: number, controller?: AbortController) => AbortSignal;
/** Returns the functions that create and send requests to the server at `base`. */
export declare const requestsTo: (scope: Scope, base: URL, credentials: RequestCredentials, usualHeaders: () => Record<string, string>) => {
    createRequest: (method: string, path: string, body?: object, headers?: Record<string, string> | "" | null, controller?: AbortController) => Request;
    post: (path: string, body: object, headers?: Record<string, string> | "" | null, controller?: AbortController) => Promise<any>;
};
/** Reads the access token of a response. */
export declare const parseGrant: (answer: any) => Grant;
