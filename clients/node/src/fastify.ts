import type { FastifyReply, FastifyRequest } from 'fastify';
import { authorizationLines } from './bearer.js';
import { Refusal } from './refusal.js';
import { type User, assertRole, assertScope } from './user.js';
import { type TokenCheck, type VerifyOptions, requestCheck } from './verify.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** User of a request behind `requireUser`. */
    user: User;
  }
}

/** Hook for `onRequest`. */
export type RequestHook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

const guard = (admit: (request: FastifyRequest) => unknown): RequestHook => async (request, reply) => {
  try {
    await admit(request);
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return reply.code(error.status).headers(error.headers).send(error.body());
  }
};

/** Returns a hook that admits requests with a valid access token and sets `request.user`. */
export const requireUser = (options: VerifyOptions | TokenCheck): RequestHook => {
  const check = requestCheck(options);
  return guard(async (request) => { request.user = await check(authorizationLines(request.raw.rawHeaders)); });
};

/** Returns a hook, for use behind `requireUser`, that admits users with a role. */
export const requireRole = (role: string): RequestHook => guard((request) => assertRole(request.user, role));

/** Returns a hook, for use behind `requireUser`, that admits tokens with a scope. */
export const requireScope = (scope: string): RequestHook => guard((request) => assertScope(request.user, scope));
