import type { User } from './api.js';
/** Returns the user of an access token; `undefined` for a text that is none. The server checks the token. */
export declare const userOf: (token: string) => User | undefined;
