import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
export type Server = ReturnType<typeof connect>;
/** Returns a signal that gives up after a while. */
export declare const patience: (scope: Scope, ms: number) => AbortSignal;
export declare const connect: (scope: Scope, base: URL) => {
    csrf: () => string;
    request: (method: string, path: string, body?: object, headers?: Record<string, string>) => Request;
    grantOf: (answer: any) => Grant;
    remember: (value: string) => void;
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => boolean;
    login: (body: object) => Promise<Grant>;
    /** Asks for the next tokens; the same `key` again where the answer was lost. */
    refresh: (key: string) => Promise<Grant>;
    /** Ends the session of `token`, or without one that of the cookie. */
    logout: (token: string | null) => Promise<any>;
};
