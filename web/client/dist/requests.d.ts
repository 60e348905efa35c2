import type { Scope } from './scope.js';
import type { SessionHandle } from './session.js';
/** Returns a URL without query and fragment, with a slash at its end: a prefix of all URLs below it. */
export declare const asPrefix: (url: URL | string) => string;
/** Sends a request with the token, and repeats it once, with its body, if the token is refused. */
export declare const sendWithToken: (scope: Scope, session: SessionHandle, request: Request) => Promise<Response>;
