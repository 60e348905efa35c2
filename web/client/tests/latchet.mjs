// An in-memory model of a Latchet server: sessions with rotating refresh tokens, and an API to call.
const GRACE_MS = 10_000;
const KEY_MS = 24 * 3_600_000;

export const json = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } });

const challenge = (error) => ({ 'WWW-Authenticate': error ? `Bearer error="${error}"` : 'Bearer realm="latchet"' });

export const problem = (status, code, headers = {}) => json(status, { status, code, detail: `about ${code}` }, headers);

const done = () => new Response(null, { status: 204 });

const part = (content) => Buffer.from(JSON.stringify(content)).toString('base64url');

/** Returns an access token with these claims. */
export const accessToken = (claims) => `${part({ alg: 'none' })}.${part(claims)}.signature`;

/** Returns the refresh token in the body of a request; empty if there is none. */
const refreshTokenIn = (body) => {
  try {
    return JSON.parse(body).refresh_token ?? '';
  } catch {
    return '';
  }
};

export class Latchet {
  #count = 0;
  #sessions = new Map();
  #live = new Map();

  /** `now` returns the time of the server's clock. */
  constructor(life, now) {
    this.life = life;
    this.now = now;
    /** Roles of every user. */
    this.roles = ['editor'];
    /** Addresses of every user. */
    this.emails = [{ id: 'e1', address: 'alice@example.org', verified: true, primary: true }];
    /** Freshness of the access tokens. */
    this.isFresh = true;
  }

  endSessions() {
    for (const session of this.#sessions.values()) session.ended = true;
  }

  /** Returns the response to a request, and the cookies of the browser after it. */
  answer(entry, cookies) {
    // An app sends no cookies, and has the tokens in bodies.
    this.isInBody = entry.credentials === 'omit';
    const sent = this.isInBody ? { ...entry, cookies: { rt: refreshTokenIn(entry.body), csrf: null } } : entry;
    this.cookies = this.isInBody ? sent.cookies : cookies;
    const answer = this.#answer(sent);
    return { answer, cookies: this.isInBody ? cookies : this.cookies };
  }

  #answer(entry) {
    switch (entry.path) {
      case '/v1/login': return this.#login(JSON.parse(entry.body));
      case '/v1/register': return this.#register(JSON.parse(entry.body));
      case '/v1/password/reset': return this.#reset(JSON.parse(entry.body));
      case '/v1/password/forgot': return this.#sendMail();
      case '/v1/email/verify': return this.#verify(JSON.parse(entry.body));
      case '/v1/refresh': return this.#refresh(entry);
      case '/v1/logout': return this.#logout(entry);
      default: return this.#api(entry);
    }
  }

  #login({ username, password, transport }) {
    if (password !== 'right') return problem(401, 'invalid_credentials', challenge(''));
    if (transport !== (this.isInBody ? 'body' : 'cookie')) return problem(400, 'validation_failed');
    this.#count += 1;
    const sid = `s${this.#count}`;
    this.#session(sid).username = username;
    return this.#grant(sid, this.isInBody && { device_token: `device of ${username}` });
  }

  #register({ username, email }) {
    if (username === 'alice') return problem(409, 'conflict');
    if (email) return this.#sendMail();
    return json(201, { id: `id of ${username}`, username, roles: [] });
  }

  /** The mail has the link `right` and the code 123456. */
  #sendMail() {
    return json(202, { request: 'secret', expires_in: 3600 });
  }

  #hasProof({ link, request, code }) {
    return link === 'right' || (request === 'secret' && code === '123456');
  }

  #verify(proof) {
    return this.#hasProof(proof) ? done() : problem(400, 'invalid_code');
  }

  #reset(proof) {
    if (!this.#hasProof(proof)) return proof.code ? problem(400, 'invalid_code') : problem(404, 'not_found');
    this.endSessions();
    return done();
  }

  #changeEmails(method, path) {
    if (!this.isFresh) return problem(401, 'fresh_token_required', challenge('insufficient_user_authentication'));
    if (method === 'POST' && path === '/v1/me/emails') return this.#sendMail();
    return done();
  }

  #session(sid) {
    if (!this.#sessions.has(sid)) this.#sessions.set(sid, { generation: 0 });
    return this.#sessions.get(sid);
  }

  #access(sid) {
    this.#count += 1;
    const { username = 'alice' } = this.#session(sid);
    const claims = { sub: `id of ${username}`, preferred_username: username, ...(this.roles.length && { roles: this.roles }), sid, jti: this.#count };
    const token = accessToken(claims);
    this.#live.set(token, { sid, roles: this.roles, until: this.now() + this.life * 1000 });
    return token;
  }

  #grant(sid, more = {}) {
    const token = this.#access(sid);
    this.cookies = { rt: `${sid}.${this.#session(sid).generation}`, csrf: this.#session(sid).csrf ?? `csrf-${sid}` };
    return json(200, {
      access_token: token,
      expires_in: this.life,
      session_id: sid,
      ...(this.isInBody ? { refresh_token: this.cookies.rt } : { csrf_token: this.cookies.csrf }),
      ...more,
    });
  }

  #refresh({ cookies, csrf, key }) {
    if (!cookies.rt) return problem(401, 'missing_token', challenge(''));
    if (csrf !== cookies.csrf) return problem(403, 'csrf_failed');
    if (key !== null && !/^[!-~]{16,255}$/.test(key)) return problem(400, 'validation_failed');
    const [sid, generation] = cookies.rt.split('.');
    const session = this.#session(sid);
    if (session.ended) return problem(401, 'session_revoked', challenge('invalid_token'));
    const back = session.generation - Number(generation ?? 0);
    if (back === 0) {
      Object.assign(session, { generation: session.generation + 1, rotatedAt: this.now(), key });
      return this.#grant(sid);
    }
    const isAskedAgain = back === 1 && key && key === session.key;
    if (this.now() - session.rotatedAt < (isAskedAgain ? KEY_MS : GRACE_MS)) return this.#grant(sid);
    session.ended = true;
    return problem(401, 'refresh_reused', challenge('invalid_token'));
  }

  #logout({ token, cookies, csrf }) {
    const shown = this.#live.get(token);
    if (token && shown.until <= this.now()) return problem(401, 'token_expired', challenge('invalid_token'));
    if (!token && !cookies.rt) return problem(401, 'missing_token', challenge(''));
    if (!token && csrf !== cookies.csrf) return problem(403, 'csrf_failed');
    const sid = token ? shown.sid : cookies.rt.split('.')[0];
    this.#session(sid).ended = true;
    if (this.cookies.rt.split('.')[0] === sid) this.cookies = { rt: '', csrf: '' };
    return done();
  }

  #api({ path, method, token, body }) {
    const shown = this.#live.get(token);
    if (!token) return problem(401, 'missing_token', challenge(''));
    if (!shown) return problem(401, 'malformed_token', challenge('invalid_token'));
    if (shown.until <= this.now()) return problem(401, 'token_expired', challenge('invalid_token'));
    if (this.#session(shown.sid).ended) return problem(401, 'token_revoked', challenge('invalid_token'));
    if (shown.roles !== this.roles) return problem(401, 'token_outdated', challenge('invalid_token'));
    if (path === '/v1/verify') return done();
    if (path === '/v1/me/sessions') return json(200, { items: [{ id: shown.sid, current: true }] });
    if (path === '/v1/reauthenticate') {
      if (JSON.parse(body).password !== 'right') return problem(401, 'invalid_credentials', challenge(''));
      this.isFresh = true;
      return json(200, { access_token: this.#access(shown.sid), expires_in: this.life, session_id: shown.sid });
    }
    if (path === '/v1/logout/all') {
      this.endSessions();
      this.cookies = { rt: '', csrf: '' };
      return done();
    }
    if (path === '/v1/me/password') {
      const session = this.#session(shown.sid);
      Object.assign(session, { generation: session.generation + 1, rotatedAt: this.now(), key: null });
      session.csrf = `csrf-${shown.sid}-${session.generation}`;
      return this.#grant(shown.sid);
    }
    if (path === '/v1/me/emails' && method === 'GET') return json(200, { items: this.emails });
    if (path.startsWith('/v1/me/emails')) return this.#changeEmails(method, path);
    if (method === 'DELETE') return done();
    return new Response(body);
  }
}
