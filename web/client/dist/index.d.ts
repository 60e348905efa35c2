import type { Auth, Options, State } from './api.js';
import type { Scope } from './scope.js';
export type { Auth, Credentials, Options, Session, State } from './api.js';
export { AuthError, type ErrorCode } from './errors.js';
/** What `state()` is while a page is rendered on a server, and until the browser knows better. */
export declare const serverState: () => State;
/** Makes a client. Where there is no browser it does nothing: it knows nobody and sends no token. */
export declare const createAuth: (options: Options, scope?: Scope) => Auth;
