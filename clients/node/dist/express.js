import { authorizationLines } from './bearer.js';
import { Refusal } from './refusal.js';
import { assertRole, assertScope } from './user.js';
import { requestCheck } from './verify.js';
const guard = (admit) => async (req, res, next) => {
    try {
        await admit(req);
    }
    catch (error) {
        if (!(error instanceof Refusal))
            return next(error);
        res.writeHead(error.status, error.headers).end(error.body());
        return;
    }
    next();
};
/** Returns middleware that admits requests with a valid access token and sets `req.user`. */
export const requireUser = (options) => {
    const check = requestCheck(options);
    return guard(async (req) => { req.user = await check(authorizationLines(req.rawHeaders)); });
};
/** Returns middleware, for use behind `requireUser`, that admits users with a role. */
export const requireRole = (role) => guard((req) => assertRole(req.user, role));
/** Returns middleware, for use behind `requireUser`, that admits tokens with a scope. */
export const requireScope = (scope) => guard((req) => assertScope(req.user, scope));
