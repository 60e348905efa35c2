import type { MiddlewareHandler } from 'hono';
import { type User } from './user.js';
import { type TokenCheck, type VerifyOptions } from './verify.js';
/** Variables of a request behind `requireUser`: `new Hono<UserEnv>()`. */
export interface UserEnv {
    Variables: {
        user: User;
    };
}
/** Middleware that sets or reads the variable `user`. */
export type UserMiddleware = MiddlewareHandler<UserEnv>;
/** Returns middleware that admits requests with a valid access token and sets the variable `user`. */
export declare const requireUser: (options: VerifyOptions | TokenCheck) => UserMiddleware;
/** Returns middleware, for use behind `requireUser`, that admits users with a role. */
export declare const requireRole: (role: string) => UserMiddleware;
/** Returns middleware, for use behind `requireUser`, that admits tokens with a scope. */
export declare const requireScope: (scope: string) => UserMiddleware;
