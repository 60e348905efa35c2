export { Refusal } from './refusal.js';
export { verify } from './verify.js';
