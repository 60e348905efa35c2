import type { State } from './api.js';
import type { Scope } from './scope.js';
import { type Server } from './server.js';
export type Keeper = ReturnType<typeof keep>;
export declare const unknown: State;
export declare const keep: (scope: Scope, server: Server, name: string) => {
    state: () => State;
    subscribe: (listener: () => void) => () => boolean;
    token: () => Promise<string | null>;
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: (token: string) => Promise<string | null>;
    /** Adopts the access token of this session in the response of `way`. */
    take: (way: () => Promise<unknown>) => Promise<void>;
    /** Adopts the new tokens of this session, cookies included, in the response of `way`. */
    rotate: (way: (turn: <T>(work: () => Promise<T>) => Promise<T>) => Promise<unknown>) => Promise<void>;
    login: (body: object) => Promise<void>;
    /** Ends sessions by `way`; without it, ends this session. */
    logout: (way?: () => Promise<unknown>) => Promise<void>;
    dispose: () => void;
};
