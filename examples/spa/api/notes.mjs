// The notes of each user, as a service in Node. Latchet checks each request, with the token of its caller, so a
// logout takes effect at the next request. Notes are kept in memory and lost when the program ends.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

const MOST_NOTES = 500;
const LONGEST_TEXT = 2000;
const LONGEST_BODY = 16_384;
const CHECK_TIMEOUT_MS = 3000;

/** A refusal in the format of Latchet (RFC 9457). */
class Problem extends Error {
  constructor(status, code, detail, headers = {}) {
    super(detail);
    const body = { type: 'about:blank', title: detail, status, code, detail };
    Object.assign(this, { status, body: JSON.stringify(body), headers });
  }
}

const unavailable = () => new Problem(503, 'unavailable', 'the accounts cannot be checked now', { 'Retry-After': '1' });

/** Returns the claims of the caller. */
const verify = async (latchet, { headers: { authorization } }) => {
  const answer = await fetch(`${latchet}/v1/verify`, {
    headers: { Accept: 'application/json', ...(authorization && { Authorization: authorization }) },
    signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
  }).catch(() => { throw unavailable(); });
  if (answer.ok) return answer.json();
  if (answer.status >= 500) throw unavailable();
  const problem = await answer.json().catch(() => { throw unavailable(); });
  const challenge = answer.headers.get('WWW-Authenticate');
  throw new Problem(answer.status, problem.code, problem.detail, challenge ? { 'WWW-Authenticate': challenge } : {});
};

/** Requires a token from a recent check of the password. Latchet has accepted the token, so its content is true. */
const requireFresh = ({ headers: { authorization } }) => {
  const { fresh } = JSON.parse(Buffer.from(authorization.split('.')[1], 'base64url'));
  if (fresh) return;
  throw new Problem(401, 'fresh_token_required', 'confirm the password for this', {
    'WWW-Authenticate': 'Bearer error="insufficient_user_authentication"',
  });
};

const readText = async (request) => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > LONGEST_BODY) throw new Problem(413, 'payload_too_large', 'the body is too large');
  }
  try {
    const { text } = JSON.parse(body);
    if (typeof text === 'string' && text.length > 0 && text.length <= LONGEST_TEXT) return text;
  } catch {
    // No JSON.
  }
  throw new Problem(400, 'validation_failed', `\`text\` must have 1 to ${LONGEST_TEXT} characters`);
};

/** Creates the service. `latchet` is the URL of the server that checks the tokens. */
export const createNotesService = (latchet) => {
  /** By `sub`, the id of the user: names change. */
  const notes = new Map();

  const respond = async (request) => {
    const [, id] = request.url.match(/^\/api\/notes(?:\/([^/?]+))?$/) ?? [null, null];
    if (id === null) throw new Problem(404, 'not_found', 'there is no such route');
    const claims = await verify(latchet, request);
    const own = notes.get(claims.sub) ?? [];
    switch (`${request.method} ${id === undefined ? 'all' : 'one'}`) {
      case 'GET all':
        return [200, own];
      case 'POST all': {
        if (own.length >= MOST_NOTES) throw new Problem(409, 'conflict', 'there is no room for another note: delete some');
        const note = { id: randomUUID(), text: await readText(request), created_at: Date.now() };
        // Read again: another request may have changed them while the body arrived.
        notes.set(claims.sub, [note, ...notes.get(claims.sub) ?? []]);
        return [201, note];
      }
      case 'DELETE one':
        if (!own.some((note) => note.id === id)) throw new Problem(404, 'not_found', 'there is no such note');
        notes.set(claims.sub, own.filter((note) => note.id !== id));
        return [204];
      case 'DELETE all':
        requireFresh(request);
        notes.delete(claims.sub);
        return [204];
      default:
        throw new Problem(405, 'method_not_allowed', 'this route has no such method');
    }
  };

  return createServer(async (request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    try {
      const [status, body] = await respond(request);
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(body && JSON.stringify(body));
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error);
      const { status, body, headers } = error instanceof Problem ? error : new Problem(500, 'internal', 'an error of the service');
      response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers }).end(body);
    }
  });
};
