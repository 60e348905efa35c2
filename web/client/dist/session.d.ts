import type { State } from './api.js';
import type { Scope } from './scope.js';
import { type Server } from './server.js';
export type SessionHandle = ReturnType<typeof openSession>;
export declare const UNKNOWN_STATE: State;
export declare const openSession: (scope: Scope, server: Server, name: string) => {
    state: () => State;
    subscribe: (listener: () => void) => () => boolean;
    token: () => Promise<string | null>;
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: (token: string) => Promise<string | null>;
    /** Adopts the access token of this session in the response of `request`. */
    adoptAccessToken: (request: () => Promise<unknown>) => Promise<void>;
    /** Adopts the new tokens of this session, cookies included, in the response of `request`. */
    adoptRotation: (request: (lock: <T>(work: () => Promise<T>) => Promise<T>) => Promise<unknown>) => Promise<void>;
    login: (body: object) => Promise<void>;
    /** Ends sessions with `request`; without it, ends this session. */
    logout: (request?: () => Promise<unknown>) => Promise<void>;
    dispose: () => void;
};
