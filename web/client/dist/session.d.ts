import type { Credentials, State } from './api.js';
import type { Scope } from './scope.js';
import { type Server } from './server.js';
export type SessionHandle = ReturnType<typeof openSession>;
export declare const UNKNOWN_STATE: State;
/** Opens the session of this device. `check` sends a request that the server refuses if the session has ended. */
export declare const openSession: (scope: Scope, server: Server, name: string, check: () => Promise<unknown>) => {
    state: () => State;
    subscribe: (listener: () => void) => () => boolean;
    token: () => Promise<string | null>;
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: (refused: string) => Promise<string | null>;
    /** Adopts the access token of this session in the response of `request`. */
    adoptAccessToken: (request: () => Promise<unknown>) => Promise<void>;
    /** Adopts the new tokens of this session, cookies included, in the response of `request`. */
    adoptRotation: (request: () => Promise<unknown>) => Promise<void>;
    login: (credentials: Credentials) => Promise<void>;
    /** Ends sessions with `request`; without it, ends this session. */
    endSessions: (request?: false | (() => Promise<unknown>)) => Promise<void>;
    dispose: () => void;
};
