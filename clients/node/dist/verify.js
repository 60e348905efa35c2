import { bearerToken } from './bearer.js';
import { IssuerConnection, milliseconds } from './issuer.js';
import { Refusal, unavailable } from './refusal.js';
import { userOf } from './user.js';
const MAX_QUESTIONS = 10_000;
const systemClock = () => ({ elapsed: performance.now(), time: Date.now() });
export function verify(options, clock = systemClock) {
    const cacheMs = milliseconds('cacheMs', options.cacheMs ?? 1000, 0, 1000);
    const issuer = new IssuerConnection(options);
    const path = `/v1/verify${options.scope ? `?scope=${encodeURIComponent(options.scope)}` : ''}`;
    /** In the order in which they were sent. */
    const questions = new Map();
    const isCurrent = ({ sentAt, expiresAt }, now) => now.elapsed - sentAt.elapsed < cacheMs && now.time - sentAt.time < cacheMs && now.time < expiresAt;
    return async (token) => {
        const now = clock();
        const known = questions.get(token);
        if (known && isCurrent(known, now))
            return known.user;
        questions.delete(token);
        for (const [old, question] of questions) {
            if (questions.size < MAX_QUESTIONS && isCurrent(question, now))
                break;
            questions.delete(old);
        }
        const question = { sentAt: now, expiresAt: Infinity, user: ask(issuer, path, token) };
        if (cacheMs > 0)
            questions.set(token, question);
        try {
            const user = await question.user;
            question.expiresAt = (user.claims.exp ?? Infinity) * 1000;
            return user;
        }
        catch (error) {
            if (questions.get(token) === question)
                questions.delete(token);
            throw error;
        }
    };
}
const ask = async (issuer, path, token) => {
    let response;
    let body;
    try {
        [response, body] = await issuer.fetchJson(path, { Authorization: `Bearer ${token}` });
    }
    catch (error) {
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
    if (user)
        return user;
    throw new Refusal(status, body.code, String(body.detail), { 'WWW-Authenticate': challenge });
};
/** Returns the check of the lines of `Authorization`, in verify mode or by another check. */
export const requestCheck = (options) => {
    const check = typeof options === 'function' ? options : verify(options);
    return async (lines) => check(bearerToken(lines));
};
