import { bearerToken } from './bearer.js';
import { IssuerConnection, type IssuerOptions, milliseconds } from './issuer.js';
import { Refusal, unavailable } from './refusal.js';
import { type User, userOf } from './user.js';

/** Check of an access token: resolves to its user, or rejects with a `Refusal`. */
export type TokenCheck = (token: string) => Promise<User>;

/** Options of verify mode. */
export interface VerifyOptions extends IssuerOptions {
  /**
   * Time for which an answer is used again, counted from the moment its question was sent, in ms. A logout
   * takes effect this much later at most: 1000 by default, which is also the maximum; 0 turns the cache off.
   */
  cacheMs?: number;
}

/** Moment on two clocks: the first stops while a machine is suspended, the second may be set back. */
interface Moment { elapsed: number; time: number }

interface Question { sentAt: Moment; expiresAt: number; user: Promise<User> }

const MAX_QUESTIONS = 10_000;
const systemClock = (): Moment => ({ elapsed: performance.now(), time: Date.now() });

/**
 * Returns a check that asks Latchet (`GET /v1/verify`). Middleware that share it share its cache.
 *
 * An answer counts for checks that begin within `cacheMs` after its question was sent: simultaneous ones,
 * which wait for it, and later ones. Only positive answers are kept.
 */
export function verify(options: VerifyOptions): TokenCheck;
/** @internal */
export function verify(options: VerifyOptions, clock: () => Moment): TokenCheck;
export function verify(options: VerifyOptions, clock = systemClock): TokenCheck {
  const cacheMs = milliseconds('cacheMs', options.cacheMs ?? 1000, 0, 1000);
  const issuer = new IssuerConnection(options);
  const path = `/v1/verify${options.scope ? `?scope=${encodeURIComponent(options.scope)}` : ''}`;
  /** In the order in which they were sent. */
  const questions = new Map<string, Question>();
  const isCurrent = ({ sentAt, expiresAt }: Question, now: Moment) =>
    now.elapsed - sentAt.elapsed < cacheMs && now.time - sentAt.time < cacheMs && now.time < expiresAt;

  return async (token) => {
    const now = clock();
    const known = questions.get(token);
    if (known && isCurrent(known, now)) return known.user;
    questions.delete(token);
    for (const [old, question] of questions) {
      if (questions.size < MAX_QUESTIONS && isCurrent(question, now)) break;
      questions.delete(old);
    }
    const question = { sentAt: now, expiresAt: Infinity, user: ask(issuer, path, token) };
    if (cacheMs > 0) questions.set(token, question);
    try {
      const user = await question.user;
      question.expiresAt = (user.claims.exp ?? Infinity) * 1000;
      return user;
    } catch (error) {
      if (questions.get(token) === question) questions.delete(token);
      throw error;
    }
  };
}

const ask = async (issuer: IssuerConnection, path: string, token: string): Promise<User> => {
  let response: Response | undefined;
  let body: any;
  try {
    [response, body] = await issuer.fetchJson(path, { Authorization: `Bearer ${token}` });
  } catch (error) {
    issuer.failed(error);
    throw unavailable();
  }
  const { status, headers } = response;
  const user = status === 200 ? userOf(body) : undefined;
  const challenge = headers.get('WWW-Authenticate') ?? '';
  // A proxy in front of Latchet may send a 401 of its own, which says nothing about the token.
  const isRefusal = [401, 403].includes(status) && /^bearer /i.test(challenge) && typeof body?.code === 'string';
  if (!user && !isRefusal) {
    issuer.failed(`unexpected response ${status}`);
    throw unavailable(headers.get('Retry-After'));
  }
  issuer.succeeded();
  if (user) return user;
  throw new Refusal(status, body.code, String(body.detail), { 'WWW-Authenticate': challenge });
};

/** Returns the check of the lines of `Authorization`, in verify mode or by another check. */
export const requestCheck = (options: VerifyOptions | TokenCheck) => {
  const check = typeof options === 'function' ? options : verify(options);
  return async (lines: string[]): Promise<User> => check(bearerToken(lines));
};
