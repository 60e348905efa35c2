import type { Auth, Options, State } from './api.js';
import type { Scope } from './scope.js';
export type { Account, Auth, Credentials, MailChallenge, MailProof, Options, Session, State, User, } from './api.js';
export { AuthError, type ErrorCode } from './errors.js';
/** Returns the state during server-side rendering, and in the browser until the server has responded. */
export declare const serverState: () => State;
/** Creates a client. Without a browser it is inert: it knows no session and sends no token. */
export declare const createAuth: (options: Options, scope?: Scope) => Auth;
