import type { Auth, Options } from './api.js';
import type { Scope } from './scope.js';
import type { Server } from './server.js';
/** Creates the client of a session at `server`. */
export declare const createClient: (scope: Scope, server: Server, base: URL, attachTo?: Options["attachTo"]) => Auth;
