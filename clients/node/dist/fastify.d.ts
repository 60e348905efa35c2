import type { FastifyReply, FastifyRequest } from 'fastify';
import { type User } from './user.js';
import { type TokenCheck, type VerifyOptions } from './verify.js';
declare module 'fastify' {
    interface FastifyRequest {
        /** User of a request behind `requireUser`. */
        user: User;
    }
}
/** Hook for `onRequest`. */
export type RequestHook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
/** Returns a hook that admits requests with a valid access token and sets `request.user`. */
export declare const requireUser: (options: VerifyOptions | TokenCheck) => RequestHook;
/** Returns a hook, for use behind `requireUser`, that admits users with a role. */
export declare const requireRole: (role: string) => RequestHook;
/** Returns a hook, for use behind `requireUser`, that admits tokens with a scope. */
export declare const requireScope: (scope: string) => RequestHook;
