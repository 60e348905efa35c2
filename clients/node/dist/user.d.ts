/** Claims of an access token, by their names in the token. */
export interface Claims {
    readonly sub: string;
    readonly preferred_username: string;
    readonly exp?: number;
    readonly [name: string]: unknown;
}
/** Owner of the access token of a request. Frozen, because requests share it. */
export interface User {
    /** Id of the user. Unlike a name, it never belongs to another user. */
    readonly id: string;
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
/** Refuses a user whose token lacks a scope. */
export declare const assertScope: (user: User | undefined, scope: string) => void;
