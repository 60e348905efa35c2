import type { Scope } from './scope.js';
import { type Server } from './server.js';
/** Start of the names of the server's cookies; the server writes its own into the client that it serves. */
export declare const PREFIX = "latchet";
/** Connects to the server at `base` by cookies. */
export declare const connectByCookies: (scope: Scope, base: URL, prefix?: string) => Server;
