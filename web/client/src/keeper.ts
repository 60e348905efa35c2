// Manages the access token of one session: access to it, its renewal, and the end of the session.

import type { State } from './api.js';
import type { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import { patience, type Server } from './server.js';
import { openTabs, type Grant } from './tabs.js';

/** Time that a new tab waits for a token from other tabs. */
const ASKING_MS = 50;
/** Time that a tab waits for the lock. Without the lock, the server gives two tabs the same token. */
const TURN_MS = 3000;
const LONGEST_PAUSE_MS = 60_000;
/** A longer wait overflows the browser's timer, which then fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Held extends Grant {
  /** Issue time by the monotonic clock, and by the wall clock. */
  at: number;
  wall: number;
}

export type Keeper = ReturnType<typeof keep>;

export const unknown = { status: 'unknown' } as State;

export const keep = (scope: Scope, server: Server, name: string) => {
  const { document } = scope;
  const now = () => scope.performance.now();
  const listeners = new Set<() => void>();
  /** Ended sessions: late messages and responses must not revive them. */
  const ended = new Set<string>();
  let state: State = unknown;
  let held: Held | null = null;
  /** The running refresh, shared by all callers that wait for it. */
  let flight: Promise<void> | null = null;
  /** Counts logins and logouts: responses to earlier requests are outdated. */
  let era = 0;
  /** CSRF value of a refused session. The refusal does not clear the cookies, and must not be repeated. */
  let refused = '';
  let failure: { error: AuthError; until: number; pause: number } | null = null;
  /** Key of the refresh without a response, shared by all tabs: every retry repeats it. */
  let key = '';
  let due = 0;
  let timer: ReturnType<typeof setTimeout>;
  let isDisposed = false;
  /** Aborts the running refresh: its late response would set the cookies of an older session. */
  let overtake = () => {};
  let answered = () => {};
  const asking = new Promise<void>((resolve) => { answered = resolve; });

  const left = () => (held ? held.at + held.life - now() : 0);

  const become = (next: State) => {
    state = next;
    // Each in its own microtask: an error in a listener affects nothing else.
    listeners.forEach((listener) => queueMicrotask(listener));
  };

  const sleep = (ms: number) => {
    scope.clearTimeout(timer);
    timer = scope.setTimeout(wake, Math.min(ms, LONGEST_TIMER_MS));
  };

  /** Schedules the renewal at 90 to 95 % of the token's lifetime, so that not all tabs renew at once. */
  const plan = () => {
    due = Math.max(
      held ? held.at + held.life * (0.9 + scope.Math.random() / 20) : 0,
      failure?.until ?? 0,
    );
    sleep(due - now());
  };

  const adopt = (grant: Grant) => {
    if (isDisposed || ended.has(grant.sid)) return;
    const { sid, csrf, age } = grant;
    held = { ...grant, at: now() - age, wall: scope.Date.now() - age };
    server.remember(csrf);
    failure = null;
    plan();
    answered();
    if (state.sessionId !== sid) become({ status: 'signed-in', sessionId: sid });
  };

  const begin = (grant: Grant) => {
    era++;
    overtake();
    key = '';
    adopt(grant);
  };

  const end = (sid: string, reason: string) => {
    ended.add(sid);
    era++;
    held = failure = null;
    server.remember('');
    scope.clearTimeout(timer);
    answered();
    if (state.status !== 'signed-out') become({ status: 'signed-out', reason });
  };

  const tabs = openTabs(scope, name, (message) => {
    const { kind } = message;
    if (kind === 'ask') {
      if (held) tabs.say({ kind: 'asked', grant: { ...held, age: now() - held.at } });
      if (key) tabs.say({ kind: 'key', key });
    } else if (kind === 'key') {
      key = message.key;
    } else if (kind === 'end') {
      if (!held || !message.sid || held.sid === message.sid) end(message.sid, message.reason);
      else ended.add(message.sid);
    } else if (kind === 'login') {
      begin(message.grant);
    } else if (!held || (kind === 'refresh' && held.sid === message.grant.sid)) {
      // A token that another tab shared is no response of the server to this refresh.
      if (kind === 'refresh') key = '';
      adopt(message.grant);
    }
  });

  /** Runs `work` with the lock of all tabs. Waits for the lock only briefly: a frozen tab may hold it. */
  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    let release = () => {};
    await new Promise<void>((resolve) => {
      const hold = () => {
        resolve();
        return new Promise<void>((free) => { release = free; });
      };
      const { locks } = scope.navigator;
      if (locks) locks.request(name, { signal: patience(scope, TURN_MS) }, hold).catch(resolve);
      else resolve();
    });
    return work().finally(() => release());
  };

  /** Adopts the tokens of a rotation that began in the era `begun`, and sends them to the other tabs. */
  const settle = (grant: Grant, begun: number) => {
    if (era === begun) {
      key = '';
      adopt(grant);
      tabs.say({ kind: 'refresh', grant });
    } else if (!held) {
      // There was a logout before the response, which has set the cookies again: clear them.
      server.logout(grant.token).catch(() => {});
    }
  };

  const ask = async (): Promise<void> => {
    if (failure && now() < failure.until) {
      // Timers count in whole milliseconds, and fire a little early.
      plan();
      throw failure.error;
    }
    const asked = held;
    const begun = era;
    const stop = new AbortController();
    let isOvertaken = false;
    overtake = () => {
      isOvertaken = true;
      stop.abort();
    };
    let csrf = '';
    let mine = key;
    try {
      const grant = await inTurn(async () => {
        // Another tab may have refreshed while this one waited for the lock.
        if (held !== asked || era !== begun) return null;
        csrf = server.csrf();
        if (!csrf) throw server.csrfFault();
        mine = key ||= scope.crypto.getRandomValues(new Uint32Array(4)).join('-');
        tabs.say({ kind: 'key', key });
        return server.refresh(key, stop);
      });
      if (!grant || isDisposed) return;
      settle(grant, begun);
    } catch (cause) {
      if (isOvertaken || era !== begun) return;
      const error = cause as AuthError;
      // Only the server ends a session, not a proxy's 401; and only the session of the sent cookie.
      if (error.status === 401 && error.code !== 'unexpected_answer' && server.csrf() === csrf) {
        refused = csrf;
        if (asked) tabs.say({ kind: 'end', sid: asked.sid, reason: error.code });
        return end(asked?.sid ?? '', error.code);
      }
      // Another tab may have received a response meanwhile, but this one has not.
      key = mine;
      // A proxy may have caused it, so a signed-in page is only signed out after a second failure.
      const isKnown = !asked || failure?.error.code === 'csrf_failed';
      if (error.code === 'csrf_failed' && isKnown && server.csrf() === csrf) {
        // The cookie does not belong to the session, but to a sibling host, for example. There may be another one.
        if (server.reject(csrf)) return ask();
        // This session cannot be renewed, so users must be able to sign in again.
        if (left() <= 0) return end(asked?.sid ?? '', error.code);
      }
      const pause = Math.min(failure ? failure.pause * 2 : 1000, LONGEST_PAUSE_MS);
      const wait = Math.max(pause * (1 - scope.Math.random() / 2), error.retryAfter * 1000);
      failure = { error, until: now() + wait, pause };
      plan();
      throw error;
    }
  };

  const refresh = () => (flight ??= ask().finally(() => { flight = null; }));

  /** Checks whether a renewal is due: after a wait, and when the page becomes visible. */
  const wake = () => {
    answered();
    // Another tab logged out while this one was frozen and received no message.
    if (held && server.hasNoCookies()) return end(held.sid, 'logout');
    if (document.visibilityState !== 'visible') return;
    // The machine has slept, and the monotonic clock may have stopped meanwhile.
    if (held && scope.Date.now() - held.wall >= held.life) held.life = due = 0;
    const csrf = server.csrf();
    if (held ? now() >= due : state === unknown || (csrf && csrf !== refused)) refresh().catch(() => {});
    else if (held) sleep(due - now());
  };

  const online = () => {
    if (failure?.error.code === 'network') {
      failure = null;
      plan();
    }
    wake();
  };

  const listen = (way: 'addEventListener' | 'removeEventListener') => {
    document[way]('visibilitychange', wake);
    scope[way]('focus', wake);
    scope[way]('online', online);
  };

  const signOut = async (token: string | null): Promise<unknown> => {
    if (!token && !server.csrf()) return;
    return server.logout(token).catch((error) => {
      if (error.status !== 401) throw error;
      // The token was refused, so try the cookie. If that is refused, too, there is no session.
      return token && signOut(null);
    });
  };

  listen('addEventListener');
  if (server.hasNoCookies()) {
    state = { status: 'signed-out' };
    answered();
  } else {
    tabs.say({ kind: 'ask' });
    sleep(ASKING_MS);
  }

  return {
    state: () => state,
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    token: async (): Promise<string | null> => {
      await asking;
      if (held && left() > held.life / 20) return held.token;
      if (state.status === 'signed-out') return null;
      await refresh().catch((error) => {
        if (left() <= 0) throw error;
      });
      return held && held.token;
    },
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: async (token: string): Promise<string | null> => {
      if (held?.token === token) await refresh();
      return held && held.token;
    },
    /** Adopts the access token of this session in the response of `way`. */
    take: async (way: () => Promise<unknown>) => {
      const begun = era;
      const grant = server.grantOf(await way());
      if (era === begun) adopt(grant);
    },
    /** Adopts the new tokens of this session, cookies included, in the response of `way`. */
    rotate: async (way: (turn: typeof inTurn) => Promise<unknown>) => {
      const begun = era;
      settle(server.grantOf(await way(inTurn)), begun);
    },
    login: async (body: object) => {
      const grant = await inTurn(() => {
        overtake();
        return server.login(body);
      });
      begin(grant);
      tabs.say({ kind: 'login', grant });
    },
    /** Ends sessions by `way`; without it, ends this session. */
    logout: async (way?: () => Promise<unknown>) => {
      const sid = held?.sid ?? '';
      await (way ? way() : inTurn(() => signOut(left() > 0 ? held!.token : null)));
      tabs.say({ kind: 'end', sid, reason: 'logout' });
      end(sid, 'logout');
    },
    dispose: () => {
      isDisposed = true;
      listeners.clear();
      end('', '');
      listen('removeEventListener');
      tabs.close();
    },
  };
};
