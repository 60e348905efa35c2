import type { AuthError } from './errors.js';
/** Address of the server, and the targets of the token. */
export interface Options {
    /** URL of the Latchet server; `/` for the page's own origin. */
    baseUrl: string | URL;
    /**
     * Origins or URL prefixes that `fetch` sends the access token to: `https://api.example.org`, or
     * `https://example.org/api` for `/api` and all paths below. The default is `baseUrl`.
     */
    attachTo?: readonly (string | URL)[];
    /**
     * `LATCHET_COOKIE_PREFIX` of the server. The default is `latchet`, or the setting of the server if the
     * client was loaded from its `/client/latchet.js`.
     */
    cookiePrefix?: string;
}
/** User name, password, and options of the session. */
export interface Credentials {
    username: string;
    password: string;
    /** Requested scopes, separated by spaces. The default is all that the server grants. */
    scope?: string;
    /** Name for this device, shown in the list of sessions. */
    label?: string;
}
/** The user of the access token. */
export interface User {
    /** Id that never changes: `sub` of the token. */
    readonly id: string;
    readonly username: string;
    /** Roles in the token. They decide what a page displays; the server checks each request itself. */
    readonly roles: readonly string[];
}
/** An account, as the server describes it. Times have the format of RFC 3339. */
export interface Account extends User {
    readonly disabled: boolean;
    readonly created_at: string;
    readonly password_changed_at: string;
    /** Language of mails to the user; absent while it is not known. */
    readonly locale?: string;
}
/** A mail that is on its way. It is the same whether an account has the address. */
export interface MailChallenge {
    /** Secret that is sent with the code of the mail: the code alone is not valid. Keep it in memory. */
    readonly request: string;
    /** Seconds for which the link and the code of the mail are valid. */
    readonly expires_in: number;
}
/** Proof that a mail was received: the secret after `#` in its link, or its code with the `request`. */
export type MailProof = {
    link: string;
    request?: undefined;
    code?: undefined;
} | {
    request: string;
    code: string;
    link?: undefined;
};
/** Sign-in state of the page. The same object until it changes. */
export type State = 
/** Not known yet. With `error` the server cannot be reached, and the client retries by itself. */
{
    readonly status: 'unknown';
    readonly sessionId?: undefined;
    readonly user?: undefined;
    readonly error?: AuthError;
} | {
    readonly status: 'signed-in';
    readonly sessionId: string;
    readonly user: User;
}
/** `reason` is `logout`, or the code that ended the session; absent or empty if there was no session. */
 | {
    readonly status: 'signed-out';
    readonly sessionId?: undefined;
    readonly user?: undefined;
    readonly reason?: string;
};
/** A session: one login on one device. Times have the format of RFC 3339. */
export interface Session {
    id: string;
    /** True for the session of this page. */
    current: boolean;
    label: string;
    user_agent: string;
    ip: string;
    created_at: string;
    refreshed_at: string;
    expires_at: string;
}
/** The client: one sign-in, shared by all tabs of an origin. No method depends on `this`. */
export interface Auth {
    /** Starts a session. Rejected with `invalid_credentials`, `too_many_requests` and other codes. */
    login(credentials: Credentials): Promise<void>;
    /**
     * Creates an account whose address is to be proved by a mail, and starts no session. Rejected with `not_found`
     * if the server has no open registration or sends no mails, with `conflict` if the name is taken, and with
     * `weak_password`.
     */
    register(account: {
        username: string;
        password: string;
        email: string;
    }): Promise<MailChallenge>;
    /** Creates an account without an address. */
    register(account: {
        username: string;
        password: string;
        email?: undefined;
    }): Promise<Account>;
    /** Creates an account, with an address if there is one. */
    register(account: {
        username: string;
        password: string;
        email?: string | undefined;
    }): Promise<Account | MailChallenge>;
    /**
     * Sets a new password with the secret of a link or the code of a mail, and ends all sessions of the user.
     * Rejected with `not_found` or `invalid_code` if the proof is wrong, was used or has expired, and with
     * `weak_password`.
     */
    resetPassword(reset: MailProof & {
        password: string;
    }): Promise<void>;
    /** Ends the session, or all sessions of the user. Rejected if the server was not reached: then none has ended. */
    logout(options?: {
        everywhere?: boolean;
    }): Promise<void>;
    /** Returns a valid access token, renewed if necessary; `null` if signed out. */
    token(): Promise<string | null>;
    /** The global `fetch`, with the access token for `attachTo`. */
    fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
    /**
     * Returns the JSON body of the response to a request by `fetch`; `undefined` for 204. Rejected with an
     * `AuthError` for every other response.
     */
    json<Body = any>(input: RequestInfo | URL, init?: RequestInit): Promise<Body>;
    /**
     * Sends a request to the server itself, with the access token: `call('GET', 'v1/me')`. Returns the JSON body of
     * the response; `undefined` for 204.
     */
    call<Body = any>(method: string, path: string, body?: object): Promise<Body>;
    /** Returns the sign-in state. */
    state(): State;
    /** Calls `listener` after each change of `state()`; returns a function that unsubscribes. */
    subscribe(listener: () => void): () => void;
    /** Lists the user's sessions. */
    sessions(): Promise<Session[]>;
    /** Ends a session of the user. */
    revoke(id: string): Promise<void>;
    /** Confirms the password: `token()` is then fresh, as operations with `fresh_token_required` need it. */
    reauthenticate(password: string): Promise<void>;
    /** Changes the password, and ends all other sessions of the user. */
    changePassword(passwords: {
        currentPassword: string;
        newPassword: string;
    }): Promise<void>;
    /** Removes timers, listeners and the token. Does not end the session. */
    dispose(): void;
}
