import type { Auth, Options as PageOptions } from './api.js';
import type { Scope } from './scope.js';
import { type Storage } from './storage.js';
export type { Account, Auth, Credentials, MailChallenge, MailProof, Session, State, User } from './api.js';
export { AuthError, type ErrorCode } from './errors.js';
export type { Storage } from './storage.js';
/** Address of the server, the targets of the token, and the parts of the device that the client uses. */
export interface Options extends Pick<PageOptions, 'baseUrl' | 'attachTo'> {
    /** Storage of the refresh token. */
    storage: Storage;
    /** Source of random values. The default is the global `crypto`, which React Native does not have. */
    crypto?: {
        getRandomValues<T extends Uint32Array>(array: T): T;
    };
    /** Calls `listener` when the app comes to the front; returns a function that unsubscribes. */
    onForeground?(listener: () => void): () => void;
}
/** Creates a client. Create one for the whole app: two would refresh the same token. */
export declare const createAuth: (options: Options, scope?: Scope) => Auth;
