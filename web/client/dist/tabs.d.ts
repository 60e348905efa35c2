import type { Scope } from './scope.js';
/** The tokens in a response of the server. */
export interface Grant {
    token: string;
    sid: string;
    /** The CSRF value, unless it has not changed. */
    csrf: string | undefined;
    /** Lifetime of the token in milliseconds. */
    life: number;
    /** Age of the token in milliseconds: two tabs have different clocks, but agree on durations. */
    age: number;
}
/** A message from one tab to the others. */
export type Message = 
/** A new tab requests a token. */
{
    kind: 'ask';
}
/** A token is shared: after a login, after a refresh, or on request. */
 | {
    kind: 'login' | 'refresh' | 'asked';
    grant: Grant;
}
/** A refresh with this key has no response yet. */
 | {
    kind: 'key';
    key: string;
}
/** A tab checks the session now, so that no other needs to. */
 | {
    kind: 'check';
}
/** The session has ended; without `sid`, the session of the cookie. */
 | {
    kind: 'end';
    sid: string | undefined;
    reason: string;
};
/** Connects to the other tabs; to none if `BroadcastChannel` is absent or blocked. */
export declare const openTabs: (scope: Scope, name: string, onMessage: (message: Message) => void) => {
    say: (message: Message) => void | undefined;
    close: () => void;
};
