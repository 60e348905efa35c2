// A network between the browser and a server: real connections, slow and cut ones, and a record of what
// went over them. The server has always answered by then; what happens is between it and the browser.
import { EventEmitter, once } from 'node:events';
import { Agent, createServer, request as send } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

const DEADLINE_MS = 20_000;

/** Returns the same numbers from 0 to 1 for the same seed (a linear congruential generator). */
const numbers = (seed) => {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
};

/** The whole response is passed on. */
export const WHOLE = 'whole';
/** The headers, with their cookies, and half of the body. */
export const HALF = 'half';
export const NOTHING = 'nothing';

const calm = async () => WHOLE;

/**
 * Waits 40 to 100 ms with each answer of the API, and loses a quarter of them, some in the middle. The fate of
 * the third answer to a path is the same in each run, whatever else is asked for meanwhile.
 */
const storm = (seed) => {
  const paths = new Map();
  return async ({ path }) => {
    if (!path.startsWith('/v1/')) return WHOLE;
    if (!paths.has(path)) paths.set(path, numbers(seed));
    const next = paths.get(path);
    const [ms, fate] = [40 + 60 * next(), next()];
    await pause(ms);
    if (fate >= 0.25) return WHOLE;
    return fate < 0.125 ? NOTHING : HALF;
  };
};

export const deferred = () => {
  const held = {};
  held.promise = new Promise((resolve) => { held.resolve = resolve; });
  return held;
};

const bytes = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
};

/** Opens a way to the server at `target`. `pages` are pages that it has itself, by path. */
export const openNetwork = async (target, pages = {}) => {
  const agent = new Agent({ keepAlive: true });
  const events = new EventEmitter().setMaxListeners(0);
  const scripts = new Map();
  const seen = [];
  let weather = calm;

  const relay = async (request, answer) => {
    const { method, url: path, headers } = request;
    if (pages[path]) return answer.writeHead(200, pages[path].headers).end(pages[path].body);
    const body = await bytes(request);
    const entry = { method, path, cookie: headers.cookie ?? '', key: headers['idempotency-key'], fate: '' };
    const [response] = await once(send(target + path, { method, headers, agent }).end(body), 'response');
    const content = await bytes(response);
    entry.status = response.statusCode;
    entry.allows = response.headers['access-control-allow-origin'];
    const { promise: over, resolve: end } = deferred();
    entry.over = over;
    seen.push(entry);
    events.emit(path, entry);
    entry.fate = await (scripts.get(path)?.shift() ?? weather)(entry);
    // On a connection of its own: browsers silently retry on one that is cut after other responses.
    const { connection, 'keep-alive': _, 'transfer-encoding': __, ...kept } = response.headers;
    if (entry.fate !== NOTHING) answer.writeHead(entry.status, { ...kept, connection: 'close' });
    if (entry.fate === WHOLE) answer.end(content);
    else if (entry.fate === HALF) answer.write(content.subarray(0, content.length / 2), () => answer.destroy());
    else answer.destroy();
    end();
  };
  const answered = async (path) => (await once(events, path, { signal: AbortSignal.timeout(DEADLINE_MS) }))[0];

  const server = createServer((request, answer) => { relay(request, answer).catch(() => answer.destroy()); });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });

  return {
    base: `http://127.0.0.1:${server.address().port}`,
    /** Every request that the server has answered. */
    seen,
    at: (path) => seen.filter((entry) => entry.path === path),
    calm: () => { weather = calm; },
    storm: (seed) => { weather = storm(seed); },
    /** Has `decide` say once what is passed on of an answer to `path`. */
    once: (path, decide) => { scripts.set(path, [...scripts.get(path) ?? [], decide]); },
    /** Waits until the server has answered the next request to `path`. */
    answered,
    /** Waits until that answer was passed on, or lost. */
    over: async (path) => (await answered(path)).over,
    close: () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
};

/** A page that keeps itself signed in, and reports each change to the script, under a policy like the server's. */
export const app = {
  '/app': {
    headers: {
      'Content-Type': 'text/html',
      'Content-Security-Policy': "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    },
    body: '<!doctype html><title>app</title><link rel="icon" href="data:,"><script type="module" src="/app.js"></script>',
  },
  '/app.js': {
    headers: { 'Content-Type': 'text/javascript' },
    body: `
      import { createAuth } from '/client/latchet.js';
      window.auth = createAuth({ baseUrl: '/' });
      const tell = () => window.tell(window.auth.state().status);
      window.auth.subscribe(tell);
      tell();`,
  },
};
