import { insufficientScope } from './refusal.js';
const isText = (value) => typeof value === 'string';
const freeze = (value) => {
    if (value && typeof value === 'object')
        Object.values(Object.freeze(value)).forEach(freeze);
    return value;
};
/** Returns the user that the claims of an access token name; undefined if they are malformed. */
export const userOf = (claims) => {
    const { sub, roles = [], scope = '', sid, exp = Infinity } = claims ?? {};
    const isProgram = isText(sub) && sub.startsWith('service:');
    const username = claims?.preferred_username ?? (isProgram ? '' : undefined);
    const areTexts = [sub, username, scope, sid ?? ''].every(isText) && Array.isArray(roles) && roles.every(isText);
    if (!areTexts || !sub || typeof exp !== 'number')
        return undefined;
    return freeze({ id: sub, username, roles, scopes: scope.split(' ').filter(Boolean), sessionId: sid, claims });
};
const required = (user) => {
    if (!user)
        throw new Error('there is no user: `requireUser` must come first');
    return user;
};
/** Refuses a user without a role: a right of the user, which a narrowed token does not carry. */
export const assertRole = (user, role) => {
    const { roles, claims } = required(user);
    if (!roles.includes(role) || 'narrowed' in claims)
        throw insufficientScope();
};
/** Refuses a token without these scopes; without `required`, one that is limited to some scopes. */
export const assertScopes = (user, required = '') => {
    const wanted = required.split(' ').filter(Boolean);
    const isRefused = wanted.length ? !wanted.every((scope) => user.scopes.includes(scope)) : 'narrowed' in user.claims;
    if (isRefused)
        throw insufficientScope();
};
/** Refuses a user whose token lacks a scope. */
export const assertScope = (user, scope) => {
    if (!required(user).scopes.includes(scope))
        throw insufficientScope();
};
