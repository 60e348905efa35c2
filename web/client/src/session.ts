// Manages the access token of one session: access to it, its renewal, and the end of the session.

import type { Credentials, State } from './api.js';
import type { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import { timeoutSignal, type Server } from './server.js';
import { openTabs, type Grant } from './tabs.js';
import { userOf } from './user.js';

/** Time that a new tab waits for a token from other tabs. */
const TAB_TOKEN_WAIT_MS = 50;
/** Time that a tab waits for the lock. Without the lock, the server gives two tabs the same token. */
const LOCK_WAIT_MS = 3000;
const LONGEST_PAUSE_MS = 60_000;
/** Shortest time between two checks of the session, in all tabs together. */
const CHECK_PAUSE_MS = 60_000;
/** A wait of 2^31 ms overflows the browser's timer, which then fires at once. */
const LONGEST_TIMER_MS = 2e9;

interface HeldToken extends Grant {
  /** Issue time by the monotonic clock, and by the wall clock. */
  at: number;
  wall: number;
}

export type SessionHandle = ReturnType<typeof openSession>;

export const UNKNOWN_STATE = { status: 'unknown' } as State;

/** Opens the session of this device. `check` sends a request that the server refuses if the session has ended. */
export const openSession = (scope: Scope, server: Server, name: string, check: () => Promise<unknown>) => {
  const { document } = scope;
  const now = () => scope.performance.now();
  const listeners = new Set<() => void>();
  /** Ended sessions: late messages and responses must not revive them. */
  const ended = new Set<string | undefined>();
  let state: State = UNKNOWN_STATE;
  let heldToken: HeldToken | null = null;
  /** The running refresh, shared by all callers that wait for it. */
  let pendingRefresh: Promise<void> | null = null;
  /** Counts logins and logouts: responses to earlier requests are outdated. */
  let epoch = 0;
  let lastFailure: { error: AuthError; until: number; pause: number } | null = null;
  /** Key of the refresh without a response, shared by all tabs: every retry repeats it. */
  let key = '';
  let renewAt = 0;
  /** Time of the last response that proves the session, by the wall clock: the other one stops during a sleep. */
  let checkedAt = 0;
  let timer: ReturnType<typeof setTimeout>;
  let isDisposed = false;
  /** Aborts the running refresh: its late response would set the cookies of an older session. */
  let abortRefresh = () => {};
  let markReady = () => {};
  const ready = new Promise<void>((resolve) => { markReady = resolve; });

  const remainingMs = () => (heldToken ? heldToken.at + heldToken.life - now() : 0);

  const setState = (next: State) => {
    state = next;
    markReady();
    // Each in its own microtask: an error in a listener affects nothing else.
    listeners.forEach(queueMicrotask);
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
    const { token, sid, csrf = server.proof(), age } = grant;
    checkedAt = scope.Date.now() - age;
    heldToken = { ...grant, csrf, at: now() - age, wall: checkedAt };
    server.rememberProof(csrf);
    lastFailure = null;
    scheduleRenewal();
    const next = { status: 'signed-in', sessionId: sid, user: userOf(token) } as State;
    // The server may have changed the roles.
    if (JSON.stringify(next) !== JSON.stringify(state)) setState(next);
  };

  const startSession = (grant: Grant) => {
    epoch++;
    abortRefresh();
    key = '';
    adoptToken(grant);
  };

  const endSession = (sid: string | undefined, reason: string) => {
    ended.add(sid);
    epoch++;
    heldToken = lastFailure = null;
    if (!isDisposed) server.rememberProof('');
    scope.clearTimeout(timer);
    if (state.status !== 'signed-out') setState({ status: 'signed-out', reason });
  };

  const tabs = openTabs(scope, name, (message) => {
    const { kind } = message;
    if (kind === 'ask') {
      if (heldToken) tabs.say({ kind: 'asked', grant: { ...heldToken, age: now() - heldToken.at } });
      if (key) tabs.say({ kind: 'key', key });
    } else if (kind === 'key') {
      key = message.key;
    } else if (kind === 'check') {
      checkedAt = scope.Date.now();
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
  const withLock = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve) => {
      let running: Promise<T> | undefined;
      const run = () => {
        // Once: the promise of the lock is rejected by a failure of `work`, too.
        resolve(running ??= work());
        return running;
      };
      const { locks } = scope.navigator;
      if (locks) locks.request(name, { signal: timeoutSignal(scope, LOCK_WAIT_MS) }, run).catch(() => { run(); });
      else run();
    });

  /** Adopts the tokens of a rotation that began in the epoch `startEpoch`, and sends them to the other tabs. */
  const applyRotation = (grant: Grant, startEpoch: number) => {
    if (epoch === startEpoch) {
      key = '';
      adoptToken(grant);
      tabs.say({ kind: 'refresh', grant });
    } else if (!heldToken) {
      // There was a logout before the response, which has set the cookies again: clear them.
      server.sendLogout(grant.token).catch(() => {});
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
    abortRefresh = () => controller.abort();
    let proof = '';
    let ownKey = key;
    try {
      const grant = await withLock(async () => {
        // Another tab may have refreshed while this one waited for the lock.
        if (heldToken !== asked || epoch !== startEpoch) return null;
        proof = server.proof();
        if (!proof) throw server.missingProofError();
        ownKey = key ||= scope.crypto.getRandomValues(new Uint32Array(4)).join('-');
        tabs.say({ kind: 'key', key });
        return server.sendRefresh(key, controller);
      });
      if (!grant || isDisposed) return;
      applyRotation(grant, startEpoch);
    } catch (cause) {
      if (epoch !== startEpoch) return;
      const error = cause as AuthError;
      // Only the server ends a session, not a proxy's 401; and only the session of the sent cookie.
      if (error.status === 401 && error.code !== 'unexpected_answer' && server.proof() === proof) {
        // The refusal does not clear the cookies, and must not be repeated.
        server.excludeProof(proof);
        if (asked) tabs.say({ kind: 'end', sid: asked.sid, reason: error.code });
        return endSession(asked?.sid, proof && error.code);
      }
      // Another tab may have received a response meanwhile, but this one has not.
      key = ownKey;
      // A proxy may have caused it, so a signed-in page is only signed out after a second failure.
      const isKnown = !asked || lastFailure?.error.code === 'csrf_failed';
      if (error.code === 'csrf_failed' && isKnown && server.proof() === proof) {
        // The cookie does not belong to the session, but to a sibling host, for example. There may be another one.
        server.excludeProof(proof);
        if (server.proof()) return requestRefresh();
        // This session cannot be renewed, so users must be able to sign in again.
        if (remainingMs() <= 0) return endSession(asked?.sid, error.code);
      }
      const pause = Math.min(lastFailure ? lastFailure.pause * 2 : 1000, LONGEST_PAUSE_MS);
      const wait = Math.max(pause * (1 - scope.Math.random() / 2), error.retryAfter * 1000);
      lastFailure = { error, until: now() + wait, pause };
      if (state === UNKNOWN_STATE) {
        scope.console.warn('Latchet:', error);
        setState({ status: 'unknown', error });
      }
      scheduleRenewal();
      throw error;
    }
  };

  const refresh = () => (pendingRefresh ??= requestRefresh().finally(() => { pendingRefresh = null; }));

  /** Checks whether a renewal is due: after a wait, and at an event that brings the page to the front. */
  const renewIfDue = (event?: unknown) => {
    markReady();
    // Another tab logged out while this one was frozen and received no message.
    if (heldToken && server.hasNoSession()) return endSession(heldToken.sid, 'logout');
    if (document.visibilityState !== 'visible') return;
    // The machine has slept, and the monotonic clock may have stopped meanwhile.
    if (heldToken && scope.Date.now() - heldToken.wall >= heldToken.life) heldToken.life = renewAt = 0;
    if (heldToken ? now() >= renewAt : state.status === 'unknown' || server.proof()) {
      refresh().catch(() => {});
    } else if (heldToken) {
      wakeAfter(renewAt - now());
      // The session may have ended on another device. A wait that ends early is no reason to ask.
      if (event && scope.Date.now() - checkedAt >= CHECK_PAUSE_MS) {
        checkedAt = scope.Date.now();
        tabs.say({ kind: 'check' });
        // Only the server's refusal has an effect, by a refresh.
        check().catch(() => {});
      }
    }
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
    if (!token && !server.proof()) return;
    return server.sendLogout(token).catch((error) => {
      if (error.status !== 401) throw error;
      // The token was refused, so try the cookie. If that is refused, too, there is no session.
      return token && signOut(null);
    });
  };

  const token = async (): Promise<string | null> => {
    await ready;
    // Without a token, too: nothing is greater than `NaN`.
    if (state.status !== 'signed-out' && !(remainingMs() > heldToken?.life! / 20)) {
      await refresh().catch((error) => {
        if (remainingMs() <= 0) throw error;
      });
    }
    return heldToken && heldToken.token;
  };

  setListeners('addEventListener');
  if (server.hasNoSession()) {
    setState({ status: 'signed-out' });
  } else {
    tabs.say({ kind: 'ask' });
    wakeAfter(TAB_TOKEN_WAIT_MS);
  }

  return {
    state: (): State => state,
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    token,
    /** Returns a new token in place of a refused one; `null` if the session has ended. */
    renew: async (refused: string): Promise<string | null> => {
      if (heldToken?.token === refused) await refresh();
      return token();
    },
    /** Adopts the access token of this session in the response of `request`. */
    adoptAccessToken: async (request: () => Promise<unknown>) => {
      const startEpoch = epoch;
      const grant = await server.acceptTokens(await request());
      if (epoch === startEpoch) adoptToken(grant);
    },
    /** Adopts the new tokens of this session, cookies included, in the response of `request`. */
    adoptRotation: async (request: () => Promise<unknown>) => {
      // Before the lock, which a refresh needs, too.
      await token();
      const startEpoch = epoch;
      // Not while another tab refreshes: its late response would set the older cookie again.
      applyRotation(await server.acceptTokens(await withLock(request)), startEpoch);
    },
    login: async (credentials: Credentials) => {
      const grant = await withLock(() => {
        abortRefresh();
        return server.sendLogin(credentials);
      });
      startSession(grant);
      tabs.say({ kind: 'login', grant });
    },
    /** Ends sessions with `request`; without it, ends this session. */
    endSessions: async (request?: false | (() => Promise<unknown>)) => {
      const sid = heldToken?.sid;
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
