import { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
export type Server = ReturnType<typeof connect>;
/** Returns a signal that aborts after a timeout, or when `controller` aborts. */
export declare const timeoutSignal: (scope: Scope, ms: number, controller?: AbortController) => AbortSignal;
/** Start of the names of the server's cookies; the server writes its own into the client that it serves. */
export declare const PREFIX = "latchet";
export declare const connect: (scope: Scope, base: URL, prefix?: string) => {
    csrf: () => string;
    request: (method: string, path: string, body?: object, headers?: Record<string, string>, controller?: AbortController) => Request;
    parseGrant: (answer: any) => Grant;
    rememberCsrf: (value: string) => void;
    /** Excludes a refused value; returns whether there is another one to try. */
    excludeCsrf: (value: string) => boolean;
    /** Returns the error for a refresh without a CSRF value. */
    missingCsrfError: () => AuthError;
    /** Returns whether the session certainly has no cookies. */
    hasNoCookies: () => boolean;
    login: (body: object) => Promise<Grant>;
    /** Requests the next tokens; a retry repeats the `key`. */
    refresh: (key: string, controller: AbortController) => Promise<Grant>;
    /** Ends the session of `token`; without a token, the session of the cookie. */
    logout: (token: string | null) => Promise<any>;
};
