import type { SessionHandle } from './session.js';
import type { Scope } from './scope.js';
/** Returns whether a URL is one of `targets` or below it. */
export declare const isTarget: (targets: URL[], url: URL) => boolean;
/** Sends a request with the token, and repeats it once, with its body, if the token is refused. */
export declare const sendWithToken: (scope: Pick<Scope, "fetch">, session: SessionHandle, request: Request) => Promise<Response>;
