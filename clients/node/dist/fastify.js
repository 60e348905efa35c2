import { authorizationLines } from './bearer.js';
import { Refusal } from './refusal.js';
import { assertRole, assertScope } from './user.js';
import { requestCheck } from './verify.js';
const guard = (admit) => async (request, reply) => {
    try {
        await admit(request);
        return undefined;
    }
    catch (error) {
        if (!(error instanceof Refusal))
            throw error;
        return reply.code(error.status).headers(error.headers).send(error.body());
    }
};
/** Returns a hook that admits requests with a valid access token and sets `request.user`. */
export const requireUser = (options) => {
    const check = requestCheck(options);
    return guard(async (request) => { request.user = await check(authorizationLines(request.raw.rawHeaders)); });
};
/** Returns a hook, for use behind `requireUser`, that admits users with a role. */
export const requireRole = (role) => guard((request) => assertRole(request.user, role));
/** Returns a hook, for use behind `requireUser`, that admits tokens with a scope. */
export const requireScope = (scope) => guard((request) => assertScope(request.user, scope));
