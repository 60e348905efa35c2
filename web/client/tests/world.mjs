// A browser and a Latchet in memory: clock, cookies, tabs and network are moved by the test.
import { createAuth } from '../dist/latchet.js';
import { Latchet } from './latchet.mjs';

export { json, problem } from './latchet.mjs';

export const APP = 'https://app.example.org';

/** Lets everything happen that waits for nothing but its turn. */
export const settle = async () => {
  for (let turn = 0; turn < 25; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
};

/** The answer to `entry` is lost on its way: the server has done what it was asked. */
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
  /** What the browser holds; only `csrf` can be read by pages. */
  cookies = { rt: '', csrf: '' };
  /** Every request that left a tab. */
  log = [];
  #timers = new Map();
  #channels = new Set();
  #scripts = new Map();
  #count = 0;
  /** How long machines have slept, while their monotonic clocks stood still. */
  #slept = 0;

  constructor({ life = 900 } = {}) {
    this.server = new Latchet(life, () => this.now + this.#slept);
  }

  /** Answers the next request to `path` by `answer(entry, usual)`. */
  once(path, answer) {
    const waiting = this.#scripts.get(path) ?? [];
    this.#scripts.set(path, [...waiting, answer]);
  }

  /** Moves both clocks, and fires what is due on the way. */
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

  /** The lid is closed and opened again. */
  sleep(ms) {
    this.#slept += ms;
    this.wall += ms;
  }

  #move(ms) {
    this.now += ms;
    this.wall += ms;
  }

  /** Paths that were asked for, in order. */
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

  /** Cookies that a page of the server's host reads. */
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
      // A browser that has given up takes nothing from an answer.
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

/** Web Locks, that pass from one tab to the next. */
export class Locks {
  #last = Promise.resolve();

  request(_name, _options, work) {
    const turn = this.#last.then(settle).then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Storage that tells whoever touches it. */
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

  /** Hears nothing of other tabs until what is returned is called. */
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

  /** The person closes the tab, or the browser freezes it: it neither hears nor does anything. */
  close() {
    for (const id of this.#timers) this.world.clear(id);
    for (const channel of this.#channels) channel.close();
  }
}

/** A world with somebody signed in in one tab. */
export const signedIn = async (options) => {
  const world = new World(options);
  const tab = world.tab();
  const auth = tab.auth();
  await auth.login({ username: 'alice', password: 'right' });
  return { world, tab, auth };
};

export const call = (auth, init) => auth.fetch(`${APP}/api/things`, init);
