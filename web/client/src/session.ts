// Manages the access token of one session: access to it, its renewal, and the end of the session.

import type { State } from './api.js';
import type { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import { timeoutSignal, type Server } from './server.js';
import { openTabs, type Grant } from './tabs.js';

/** Time that a new tab waits for a token from other tabs. */
const TAB_TOKEN_WAIT_MS = 50;
/** Time that a tab waits for the lock. Without the lock, the server gives two tabs the same token. */
const LOCK_WAIT_MS = 3000;
const LONGEST_PAUSE_MS = 60_000;
/** A longer wait overflows the browser's timer, which then fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface HeldToken extends Grant {
  /** Issue time by the monotonic clock, and by the wall clock. */
  at: number;
  wall: number;
}

export type SessionHandle = ReturnType<typeof openSession>;

export const UNKNOWN_STATE = { status: 'unknown' } as State;

export const openSession = (scope: Scope, server: Server, name: string) => {
  const { document } = scope;
  const now = () => scope.performance.now();
  const listeners = new Set<() => void>();
  /** Ended sessions: late messages and responses must not revive them. */
  const ended = new Set<string>();
  let state: State = UNKNOWN_STATE;
  let heldToken: HeldToken | null = null;
  /** The running refresh, shared by all callers that wait for it. */
  let pendingRefresh: Promise<void> | null = null;
  /** Counts logins and logouts: responses to earlier requests are outdated. */
  let epoch = 0;
  /** CSRF value of a refused session. The refusal does not clear the cookies, and must not be repeated. */
  let refusedCsrf = '';
  let lastFailure: { error: AuthError; until: number; pause: number } | null = null;
  /** Key of the refresh without a response, shared by all tabs: every retry repeats it. */
  let key = '';
  let renewAt = 0;
  let timer: ReturnType<typeof setTimeout>;
  let isDisposed = false;
  /** Aborts the running refresh: its late response would set the cookies of an older session. */
  let abortRefresh = () => {};
  let markReady = () => {};
  const ready = new Promise<void>((resolve) => { markReady = resolve; });

  const remainingMs = () => (heldToken ? heldToken.at + heldToken.life - now() : 0);

  const setState = (next: State) => {
    state = next;
    // Each in its own microtask: an error in a listener affects nothing else.
    listeners.forEach((listener) => queueMicrotask(listener));
  };

  const wakeAfter = (ms: number) => {
    scope.clearTimeout(timer);
    timer = scope.setTimeout(renewIfDue, Math.min(ms, LONGEST_TIMER_MS));
  };

  /** Schedules the renewal at 90 to 95 % of the token's lifetime, so that not all tabs renew at once. */
  const scheduleRenewal = () => {
    renewAt = Math.max(
      heldToken ? heldToken.at + heldToken.life * (0.9 + scope.Math.random() / 20) : 0,
      lastFailure?.until ?? 0,
    );
    wakeAfter(renewAt - now());
  };

  const adoptToken = (grant: Grant) => {
    if (isDisposed || ended.has(grant.sid)) return;
    const { sid, csrf, age } = grant;
    heldToken = { ...grant, at: now() - age, wall: scope.Date.now() - age };
    server.rememberCsrf(csrf);
    lastFailure = null;
    scheduleRenewal();
    markReady();
    if (state.sessionId !== sid) setState({ status: 'signed-in', sessionId: sid });
  };

  const startSession = (grant: Grant) => {
    epoch++;
    abortRefresh();
    key = '';
    adoptToken(grant);
  };

  const endSession = (sid: string, reason: string) => {
    ended.add(sid);
    epoch++;
    heldToken = lastFailure = null;
    server.rememberCsrf('');
    scope.clearTimeout(timer);
    markReady();
    if (state.status !== 'signed-out') setState({ status: 'signed-out', reason });
  };

  const tabs = openTabs(scope, name, (message) => {
    const { kind } = message;
    if (kind === 'ask') {
      if (heldToken) tabs.say({ kind: 'asked', grant: { ...heldToken, age: now() - heldToken.at } });
      if (key) tabs.say({ kind: 'key', key });
    } else if (kind === 'key') {
      key = message.key;
    } else if (kind === 'end') {
      if (!heldToken || !message.sid || heldToken.sid === message.sid) endSession(message.sid, message.reason);
      else ended.add(message.sid);
    } else if (kind === 'login') {
      startSession(message.grant);
    } else if (!heldToken || (kind === 'refresh' && heldToken.sid === message.grant.sid)) {
      // A token that another tab shared is no response of the server to this refresh.
      if (kind === 'refresh') key = '';
      adoptToken(message.grant);
    }
  });

  /** Runs `work` with the lock of all tabs. Waits for the lock only briefly: a frozen tab may hold it. */
  const withLock = async <T>(work: () => Promise<T>): Promise<T> => {
    let release = () => {};
    await new Promise<void>((resolve) => {
      const hold = () => {
        resolve();
        return new Promise<void>((free) => { release = free; });
      };
      const { locks } = scope.navigator;
      if (locks) locks.request(name, { signal: timeoutSignal(scope, LOCK_WAIT_MS) }, hold).catch(resolve);
      else resolve();
    });
    return work().finally(() => release());
  };

  /** Adopts the tokens of a rotation that began in the epoch `startEpoch`, and sends them to the other tabs. */
  const applyRotation = (grant: Grant, startEpoch: number) => {
    if (epoch === startEpoch) {
      key = '';
      adoptToken(grant);
      tabs.say({ kind: 'refresh', grant });
    } else if (!heldToken) {
      // There was a logout before the response, which has set the cookies again: clear them.
      server.logout(grant.token).catch(() => {});
    }
  };

  const requestRefresh = async (): Promise<void> => {
    if (lastFailure && now() < lastFailure.until) {
      // Timers count in whole milliseconds, and fire a little early.
      scheduleRenewal();
      throw lastFailure.error;
    }
    const asked = heldToken;
    const startEpoch = epoch;
    const controller = new AbortController();
    let isAborted = false;
    abortRefresh = () => {
      isAborted = true;
      controller.abort();
    };
    let csrf = '';
    let ownKey = key;
    try {
      const grant = await withLock(async () => {
        // Another tab may have refreshed while this one waited for the lock.
        if (heldToken !== asked || epoch !== startEpoch) return null;
        csrf = server.csrf();
        if (!csrf) throw server.missingCsrfError();
        ownKey = key ||= scope.crypto.getRandomValues(new Uint32Array(4)).join('-');
        tabs.say({ kind: 'key', key });
        return server.refresh(key, controller);
      });
      if (!grant || isDisposed) return;
      applyRotation(grant, startEpoch);
    } catch (cause) {
      if (isAborted || epoch !== startEpoch) return;
      const error = cause as AuthError;
      // Only the server ends a session, not a proxy's 401; and only the session of the sent cookie.
      if (error.status === 401 && error.code !== 'unexpected_answer' && server.csrf() === csrf) {
        refusedCsrf = csrf;
        if (asked) tabs.say({ kind: 'end', sid: asked.sid, reason: error.code });
        return endSession(asked?.sid ?? '', error.code);
      }
      // Another tab may have received a response meanwhile, but this one has not.
      key = ownKey;
      // A proxy may have caused it, so a signed-in page is only signed out after a second failure.
      const isKnown = !asked || lastFailure?.error.code === 'csrf_failed';
      if (error.code === 'csrf_failed' && isKnown && server.csrf() === csrf) {
        // The cookie does not belong to the session, but to a sibling host, for example. There may be another one.
        if (server.excludeCsrf(csrf)) return requestRefresh();
        // This session cannot be renewed, so users must be able to sign in again.
        if (remainingMs() <= 0) return endSession(asked?.sid ?? '', error.code);
      }
      const pause = Math.min(lastFailure ? lastFailure.pause * 2 : 1000, LONGEST_PAUSE_MS);
      const wait = Math.max(pause * (1 - scope.Math.random() / 2), error.retryAfter * 1000);
      lastFailure = { error, until: now() + wait, pause };
      scheduleRenewal();
      throw error;
    }
  };

  const refresh = () => (pendingRefresh ??= requestRefresh().finally(() => { pendingRefresh = null; }));

  /** Checks whether a renewal is due: after a wait, and when the page becomes visible. */
  const renewIfDue = () => {
    markReady();
    // Another tab logged out while this one was frozen and received no message.
    if (heldToken && server.hasNoCookies()) return endSession(heldToken.sid, 'logout');
    if (document.visibilityState !== 'visible') return;
    // The machine has slept, and the monotonic clock may have stopped meanwhile.
    if (heldToken && scope.Date.now() - heldToken.wall >= heldToken.life) heldToken.life = renewAt = 0;
    const csrf = server.csrf();
    if (heldToken ? now() >= renewAt : state === UNKNOWN_STATE || (csrf && csrf !== refusedCsrf)) refresh().catch(() => {});
    else if (heldToken) wakeAfter(renewAt - now());
  };

  const onOnline = () => {
    if (lastFailure?.error.code === 'network') {
      lastFailure = null;
      scheduleRenewal();
    }
    renewIfDue();
  };

  const setListeners = (method: 'addEventListener' | 'removeEventListener') => {
    document[method]('visibilitychange', renewIfDue);
    scope[method]('focus', renewIfDue);
    scope[method]('online', onOnline);
  };

  const signOut = async (token: string | null): Promise<unknown> => {
    if (!token && !server.csrf()) return;
    return server.logout(token).catch((error) => {
      if (error.status !== 401) throw error;
      // The token was refused, so try the cookie. If that is refused, too, there is no session.
      return token && signOut(null);
    });
  };

  setListeners('addEventListener');
  if (server.hasNoCookies()) {
    state = { status: 'signed-out' };
    markReady();
  } else {
    tabs.say({ kind: 'ask' });
    wakeAfter(TAB_TOKEN_WAIT_MS);
  }

  return {
    state: () => state,
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    token: async (): Promise<string | null> => {
      await ready;
      if (heldToken && remainingMs() > heldToken.life / 20) return heldToken.token;
      if (state.status === 'signed-out') return null;
      await refresh().catch((error) => {
        if (remainingMs() <= 0) throw error;
      });
      return heldToken && heldToken.token;
    },
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: async (token: string): Promise<string | null> => {
      if (heldToken?.token === token) await refresh();
      return heldToken && heldToken.token;
    },
    /** Adopts the access token of this session in the response of `request`. */
    adoptAccessToken: async (request: () => Promise<unknown>) => {
      const startEpoch = epoch;
      const grant = server.parseGrant(await request());
      if (epoch === startEpoch) adoptToken(grant);
    },
    /** Adopts the new tokens of this session, cookies included, in the response of `request`. */
    adoptRotation: async (request: (lock: typeof withLock) => Promise<unknown>) => {
      const startEpoch = epoch;
      applyRotation(server.parseGrant(await request(withLock)), startEpoch);
    },
    login: async (body: object) => {
      const grant = await withLock(() => {
        abortRefresh();
        return server.login(body);
      });
      startSession(grant);
      tabs.say({ kind: 'login', grant });
    },
    /** Ends sessions with `request`; without it, ends this session. */
    logout: async (request?: () => Promise<unknown>) => {
      const sid = heldToken?.sid ?? '';
      await (request ? request() : withLock(() => signOut(remainingMs() > 0 ? heldToken!.token : null)));
      tabs.say({ kind: 'end', sid, reason: 'logout' });
      endSession(sid, 'logout');
    },
    dispose: () => {
      isDisposed = true;
      listeners.clear();
      endSession('', '');
      setListeners('removeEventListener');
      tabs.close();
    },
  };
};
