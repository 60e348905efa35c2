import type { Scope } from './scope.js';
import { type Server } from './server.js';
/** Storage that only the app can read: the Keychain, or an encrypted file. */
export interface Storage {
    getItem(name: string): Promise<string | null>;
    setItem(name: string, value: string): Promise<unknown>;
    removeItem(name: string): Promise<unknown>;
}
/** Connects to the server at `base` by a storage. `open` reads the storage, once. */
export declare const connectByStorage: (scope: Scope, base: URL, storage: Storage) => Server & {
    open(): Promise<void>;
};
