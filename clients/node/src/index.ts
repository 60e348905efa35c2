export type { IssuerOptions } from './issuer.js';
export { Refusal } from './refusal.js';
export type { Claims, User } from './user.js';
export { type TokenCheck, type VerifyOptions, verify } from './verify.js';
