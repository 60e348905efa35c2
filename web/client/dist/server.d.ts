import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
export type Server = ReturnType<typeof connect>;
/** Returns a signal that gives up after a while. */
export declare const patience: (scope: Scope, ms: number) => AbortSignal;
export declare const connect: (scope: Scope, base: URL) => {
    csrf: () => string;
    request: (method: string, path: string, body?: object, token?: string | null) => Request;
    post: (path: string, body: object, token?: string | null) => Promise<any>;
    remember: (value: string) => void;
    /** Whether the cookies of the session are known to be gone. */
    hasNoCookies: () => boolean;
    /** Sends a request that is answered with tokens. */
    grant: (path: string, body: object) => Promise<Grant>;
};
