/** Claims of an access token, by their names in the token. */
export interface Claims {
    readonly sub: string;
    /** Absent in the token of a program, whose `sub` is `service:` and its name. */
    readonly preferred_username?: string;
    readonly exp?: number;
    readonly [name: string]: unknown;
}
/** Owner of the access token of a request. Frozen, because requests share it. */
export interface User {
    /** Id of the user. Unlike a name, it never belongs to another user. */
    readonly id: string;
    /** Empty for a program. */
    readonly username: string;
    readonly roles: readonly string[];
    readonly scopes: readonly string[];
    /** Id of the session; undefined in tokens of other issuers that name none. */
    readonly sessionId: string | undefined;
    readonly claims: Claims;
}
/** Returns the user that the claims of an access token name; undefined if they are malformed. */
export declare const userOf: (claims: any) => User | undefined;
/** Refuses a user without a role: a right of the user, which a narrowed token does not carry. */
export declare const assertRole: (user: User | undefined, role: string) => void;
/** Refuses a token without these scopes; without `required`, one that is limited to some scopes. */
export declare const assertScopes: (user: User, required?: string) => void;
/** Refuses a user whose token lacks a scope. */
export declare const assertScope: (user: User | undefined, scope: string) => void;
