import { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
export type Server = ReturnType<typeof connect>;
/** Returns a signal that gives up after a while, or when `controller` aborts. */
export declare const patience: (scope: Scope, ms: number, controller?: AbortController) => AbortSignal;
/** Beginning of the names of the server's cookies; the server writes its own into the client that it serves. */
export declare const PREFIX = "latchet";
export declare const connect: (scope: Scope, base: URL, prefix?: string) => {
    csrf: () => string;
    request: (method: string, path: string, body?: object, headers?: Record<string, string>, controller?: AbortController) => Request;
    grantOf: (answer: any) => Grant;
    remember: (value: string) => void;
    /** Sends a refused value no more; returns whether there is another one to try. */
    reject: (value: string) => boolean;
    /** Why there is no CSRF value to send. */
    csrfFault: () => AuthError;
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => boolean;
    login: (body: object) => Promise<Grant>;
    /** Asks for the next tokens; the same `key` again where the answer was lost. */
    refresh: (key: string, controller: AbortController) => Promise<Grant>;
    /** Ends the session of `token`, or without one that of the cookie. */
    logout: (token: string | null) => Promise<any>;
};
