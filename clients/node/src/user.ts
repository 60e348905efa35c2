import { insufficientScope } from './refusal.js';

/** Claims of an access token, by their names in the token. */
export interface Claims {
  readonly sub: string;
  /** Absent in the token of a program, whose `sub` is `service:` and its name. */
  readonly preferred_username?: string;
  readonly exp?: number;
  readonly [name: string]: unknown;
}

/** Owner of the access token of a request. Frozen, because requests share it. */
export interface User {
  /** Id of the user. Unlike a name, it never belongs to another user. */
  readonly id: string;
  /** Empty for a program. */
  readonly username: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  /** Id of the session; undefined in tokens of other issuers that name none. */
  readonly sessionId: string | undefined;
  readonly claims: Claims;
}

const isText = (value: unknown) => typeof value === 'string';

const freeze = <T>(value: T): T => {
  if (value && typeof value === 'object') Object.values(Object.freeze(value)).forEach(freeze);
  return value;
};

/** Returns the user that the claims of an access token name; undefined if they are malformed. */
export const userOf = (claims: any): User | undefined => {
  const { sub, roles = [], scope = '', sid, exp = Infinity } = claims ?? {};
  const isProgram = isText(sub) && sub.startsWith('service:');
  const username = claims?.preferred_username ?? (isProgram ? '' : undefined);
  const areTexts = [sub, username, scope, sid ?? ''].every(isText) && Array.isArray(roles) && roles.every(isText);
  if (!areTexts || !sub || typeof exp !== 'number') return undefined;
  return freeze({ id: sub, username, roles, scopes: scope.split(' ').filter(Boolean), sessionId: sid, claims });
};

const required = (user: User | undefined): User => {
  if (!user) throw new Error('there is no user: `requireUser` must come first');
  return user;
};

/** Refuses a user without a role: a right of the user, which a narrowed token does not carry. */
export const assertRole = (user: User | undefined, role: string): void => {
  const { roles, claims } = required(user);
  if (!roles.includes(role) || 'narrowed' in claims) throw insufficientScope();
};

/** Refuses a token without these scopes; without `required`, one that is limited to some scopes. */
export const assertScopes = (user: User, required = ''): void => {
  const wanted = required.split(' ').filter(Boolean);
  const isRefused = wanted.length ? !wanted.every((scope) => user.scopes.includes(scope)) : 'narrowed' in user.claims;
  if (isRefused) throw insufficientScope();
};

/** Refuses a user whose token lacks a scope. */
export const assertScope = (user: User | undefined, scope: string): void => {
  if (!required(user).scopes.includes(scope)) throw insufficientScope();
};
