import type { Context, MiddlewareHandler } from 'hono';
import { Refusal } from './refusal.js';
import { type User, assertRole, assertScope } from './user.js';
import { type TokenCheck, type VerifyOptions, requestCheck } from './verify.js';

/** Variables of a request behind `requireUser`: `new Hono<UserEnv>()`. */
export interface UserEnv { Variables: { user: User } }

/** Middleware that sets or reads the variable `user`. */
export type UserMiddleware = MiddlewareHandler<UserEnv>;

const guard = (admit: (c: Context<UserEnv>) => unknown): UserMiddleware => async (c, next) => {
  try {
    await admit(c);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return c.body(error.body(), error.status as 401, error.headers);
  }
  await next();
};

/** Returns middleware that admits requests with a valid access token and sets the variable `user`. */
export const requireUser = (options: VerifyOptions | TokenCheck): UserMiddleware => {
  const check = requestCheck(options);
  return guard(async (c) => c.set('user', await check([c.req.header('Authorization') ?? ''])));
};

/** Returns middleware, for use behind `requireUser`, that admits users with a role. */
export const requireRole = (role: string): UserMiddleware => guard((c) => assertRole(c.get('user'), role));

/** Returns middleware, for use behind `requireUser`, that admits tokens with a scope. */
export const requireScope = (scope: string): UserMiddleware => guard((c) => assertScope(c.get('user'), scope));
