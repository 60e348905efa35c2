import type { RequestHandler } from 'express';
import { type User } from './user.js';
import { type TokenCheck, type VerifyOptions } from './verify.js';
declare global {
    namespace Express {
        interface Request {
            /** User of a request behind `requireUser`. */
            user: User;
        }
    }
}
/** Returns middleware that admits requests with a valid access token and sets `req.user`. */
export declare const requireUser: (options: VerifyOptions | TokenCheck) => RequestHandler;
/** Returns middleware, for use behind `requireUser`, that admits users with a role. */
export declare const requireRole: (role: string) => RequestHandler;
/** Returns middleware, for use behind `requireUser`, that admits tokens with a scope. */
export declare const requireScope: (scope: string) => RequestHandler;
