// A simulated browser and server: the test controls clock, cookies, tabs and network.
import { createAuth } from '../dist/latchet.js';
import { Latchet } from './latchet.mjs';

export { accessToken, json, problem } from './latchet.mjs';

export const APP = 'https://app.example.org';

/** Runs all pending tasks that do not wait for a timer or for the test. */
export const settle = async () => {
  for (let turn = 0; turn < 25; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
};

/** Loses the response to a request that the server has processed. */
export const lose = (world) => (_, usual) => {
  const before = world.cookies;
  usual();
  world.cookies = before;
  throw new TypeError('Failed to fetch');
};

export const deferred = () => {
  const held = {};
  held.promise = new Promise((resolve, reject) => Object.assign(held, { resolve, reject }));
  return held;
};

export class World {
  now = 1000;
  wall = 1_790_000_000_000;
  random = 0;
  /** Cookies of the browser; pages can read `csrf` only. */
  cookies = { rt: '', csrf: '' };
  /** All requests of all tabs. */
  log = [];
  /** Everything that the clients have written to the console. */
  warnings = [];
  #timers = new Map();
  #channels = new Set();
  #scripts = new Map();
  #count = 0;
  /** Time that the machine has slept; its monotonic clock stopped meanwhile. */
  #slept = 0;

  constructor({ life = 900 } = {}) {
    this.server = new Latchet(life, () => this.now + this.#slept);
  }

  /** Responds to the next request to `path` with `answer(entry, usual)`. */
  once(path, answer) {
    const waiting = this.#scripts.get(path) ?? [];
    this.#scripts.set(path, [...waiting, answer]);
  }

  /** Advances both clocks, and fires the timers that become due. */
  async pass(ms) {
    const end = this.now + ms;
    await settle();
    for (;;) {
      const [id, next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!next || next.at > end) break;
      this.#timers.delete(id);
      this.#move(Math.max(next.at - this.now, 0));
      next.run();
      await settle();
    }
    this.#move(end - this.now);
    await settle();
  }

  /** Lets the machine sleep. */
  sleep(ms) {
    this.#slept += ms;
    this.wall += ms;
  }

  #move(ms) {
    this.now += ms;
    this.wall += ms;
  }

  /** Returns the requests to a path, in order. */
  asked(path) {
    return this.log.filter((entry) => entry.path === path);
  }

  /** Ends all sessions, as an administrator does. */
  endSessions() {
    this.server.endSessions();
  }

  tab({ visible = true, hostname = 'app.example.org', locks, cookies } = {}) {
    return new Tab(this, { visible, hostname, locks, cookies });
  }

  /** Returns the cookies that a page of the server's host can read. */
  readable() {
    return this.cookies.csrf ? `theme=dark; __Host-latchet_csrf=${this.cookies.csrf}` : 'theme=dark';
  }

  timer(run, ms) {
    this.#count += 1;
    // Browsers count in 32 bits, and in whole milliseconds.
    this.#timers.set(this.#count, { run, at: this.now + Math.max(ms > 2 ** 31 - 1 ? 0 : Math.trunc(ms), 1) });
    return this.#count;
  }

  clear(id) {
    this.#timers.delete(id);
  }

  get timers() {
    return this.#timers.size;
  }

  get channels() {
    return this.#channels;
  }

  async network(request) {
    const entry = {
      method: request.method,
      url: request.url,
      // The server may be mounted below a path.
      path: new URL(request.url).pathname.replace(/^\/auth/, ''),
      token: request.headers.get('Authorization')?.replace('Bearer ', '') ?? null,
      csrf: request.headers.get('X-CSRF-Token'),
      key: request.headers.get('Idempotency-Key'),
      credentials: request.credentials,
      type: request.headers.get('Content-Type'),
      body: await request.text(),
      cookies: { ...this.cookies },
    };
    this.log.push(entry);
    const script = this.#scripts.get(entry.path)?.shift();
    const usual = () => {
      const { answer, cookies } = this.server.answer(entry, this.cookies);
      // A browser ignores the response of an aborted request.
      if (!request.signal.aborted) this.cookies = cookies;
      return answer;
    };
    const answer = Promise.resolve(script ? script(entry, usual) : usual());
    const gaveUp = new Promise((_, reject) => {
      request.signal.addEventListener('abort', () => reject(new DOMException('gave up', 'AbortError')));
    });
    return Promise.race([answer, gaveUp]);
  }
}

/** Web Locks for the tabs of one browser. */
export class Locks {
  #last = Promise.resolve();

  request(_name, _options, work) {
    const turn = this.#last.then(settle).then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** A storage object that throws on every access. */
const untouchable = (name) => new Proxy({}, {
  get: (_, key) => { throw new Error(`${name}.${String(key)} was read`); },
  set: (_, key) => { throw new Error(`${name}.${String(key)} was written`); },
});

export class Tab {
  #timers = new Set();
  #window = new EventTarget();
  #channels = [];

  constructor(world, { visible, hostname, locks, cookies = () => world.readable() }) {
    this.world = world;
    const document = new EventTarget();
    Object.defineProperty(document, 'cookie', {
      get: () => (hostname === 'app.example.org' ? cookies() : 'theme=dark'),
      set: () => { throw new Error('a cookie was written'); },
      configurable: true,
    });
    Object.assign(document, { baseURI: `https://${hostname}/page`, visibilityState: visible ? 'visible' : 'hidden' });
    this.scope = {
      document,
      location: { hostname },
      crypto: globalThis.crypto,
      performance: { now: () => world.now },
      Date: { now: () => world.wall },
      Math: { random: () => world.random },
      navigator: { locks },
      console: { warn: (...all) => world.warnings.push(all) },
      BroadcastChannel: this.#broadcast(),
      fetch: (input, init) => world.network(new Request(input, init)),
      setTimeout: (run, ms) => {
        const id = world.timer(run, ms);
        this.#timers.add(id);
        return id;
      },
      clearTimeout: (id) => world.clear(id),
      addEventListener: (...all) => this.#window.addEventListener(...all),
      removeEventListener: (...all) => this.#window.removeEventListener(...all),
      localStorage: untouchable('localStorage'),
      sessionStorage: untouchable('sessionStorage'),
      indexedDB: untouchable('indexedDB'),
    };
  }

  #broadcast() {
    const { world } = this;
    const own = this.#channels;
    return class {
      constructor(name) {
        this.name = name;
        world.channels.add(this);
        own.push(this);
      }

      postMessage(data) {
        const copy = structuredClone(data);
        for (const other of world.channels) {
          if (other !== this && other.name === this.name) queueMicrotask(() => other.onmessage?.({ data: copy }));
        }
      }

      close() {
        world.channels.delete(this);
      }
    };
  }

  auth(options = {}) {
    return createAuth({ baseUrl: '/', attachTo: [`${APP}/api`], ...options }, this.scope);
  }

  show(visible = true) {
    this.scope.document.visibilityState = visible ? 'visible' : 'hidden';
    this.scope.document.dispatchEvent(new Event('visibilitychange'));
    return settle();
  }

  focus() {
    return this.#happens('focus');
  }

  online() {
    return this.#happens('online');
  }

  #happens(name) {
    this.#window.dispatchEvent(new Event(name));
    return settle();
  }

  /** Holds back messages from other tabs until the returned function is called. */
  deafen() {
    const [channel] = this.#channels;
    const { onmessage } = channel;
    const late = [];
    channel.onmessage = (message) => late.push(message);
    return () => {
      channel.onmessage = onmessage;
      late.forEach(onmessage);
    };
  }

  /** Closes the tab, or freezes it: it receives no messages and runs no timers. */
  close() {
    for (const id of this.#timers) this.world.clear(id);
    for (const channel of this.#channels) channel.close();
  }
}

/** Creates a world with a user who is signed in in one tab. */
export const signedIn = async (options) => {
  const world = new World(options);
  const tab = world.tab();
  const auth = tab.auth();
  await auth.login({ username: 'alice', password: 'right' });
  return { world, tab, auth };
};

export const call = (auth, init) => auth.fetch(`${APP}/api/things`, init);
