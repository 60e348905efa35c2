import { Refusal } from './refusal.js';
import { assertRole, assertScope } from './user.js';
import { requestCheck } from './verify.js';
const guard = (admit) => async (c, next) => {
    try {
        await admit(c);
    }
    catch (error) {
        if (!(error instanceof Refusal))
            throw error;
        return c.body(error.body(), error.status, error.headers);
    }
    await next();
};
/** Returns middleware that admits requests with a valid access token and sets the variable `user`. */
export const requireUser = (options) => {
    const check = requestCheck(options);
    return guard(async (c) => c.set('user', await check([c.req.header('Authorization') ?? ''])));
};
/** Returns middleware, for use behind `requireUser`, that admits users with a role. */
export const requireRole = (role) => guard((c) => assertRole(c.get('user'), role));
/** Returns middleware, for use behind `requireUser`, that admits tokens with a scope. */
export const requireScope = (scope) => guard((c) => assertScope(c.get('user'), scope));
