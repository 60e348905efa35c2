import type { State } from './api.js';
import type { Scope } from './scope.js';
import { type Server } from './server.js';
export type Keeper = ReturnType<typeof keep>;
export declare const unknown: State;
export declare const keep: (scope: Scope, server: Server, name: string) => {
    state: () => State;
    subscribe: (listener: () => void) => () => boolean;
    token: () => Promise<string | null>;
    /** Returns another token than the one that was refused; `null` when the session has ended. */
    renew: (token: string) => Promise<string | null>;
    /** Takes the access token of this session that `way` is answered with. */
    take: (way: () => Promise<unknown>) => Promise<void>;
    /** Takes the new tokens of this session, cookies included, that `way` is answered with. */
    rotate: (way: (turn: <T>(work: () => Promise<T>) => Promise<T>) => Promise<unknown>) => Promise<void>;
    login: (body: object) => Promise<void>;
    /** Ends the session by `way`, or else this one alone. */
    logout: (way?: () => Promise<unknown>) => Promise<void>;
    dispose: () => void;
};
