import type { Scope } from './scope.js';
/** What one answer of the server gives. */
export interface Grant {
    token: string;
    sid: string;
    csrf: string;
    /** How long the token lives, in milliseconds from when it was issued. */
    life: number;
    /** How long it has lived. The clocks of two tabs agree on nothing but that. */
    age: number;
}
/** What one tab says to the others. */
export type Message = 
/** A new tab asks for a token. */
{
    kind: 'ask';
}
/** One is handed on: from a login, a refresh, or because it was asked for. */
 | {
    kind: 'login' | 'refresh' | 'asked';
    grant: Grant;
}
/** A refresh is asked for by this key, or was and has not been answered. */
 | {
    kind: 'key';
    key: string;
}
/** The session has ended; an empty `sid` is the one that the cookie was of. */
 | {
    kind: 'end';
    sid: string;
    reason: string;
};
/** Connects to the other tabs; where `BroadcastChannel` is absent or blocked, to none. */
export declare const openTabs: (scope: Scope, name: string, hear: (message: Message) => void) => {
    say: (message: Message) => void | undefined;
    close: () => void;
};
