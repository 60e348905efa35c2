// What a page sees of the client.

/** Where the server is, and who gets the token. */
export interface Options {
  /** Address of the Latchet server; `/` where the page's own origin is. */
  baseUrl: string | URL;
  /**
   * Origins or prefixes of URLs that `fetch` sends the access token to: `https://api.example.org`, or
   * `https://example.org/api`, which is `/api` and all below. Without it: `baseUrl`.
   */
  attachTo?: readonly (string | URL)[];
  /**
   * `LATCHET_COOKIE_PREFIX` of the server. Without it: `latchet`, or what the server was started with where
   * the client comes from `/client/latchet.js`.
   */
  cookiePrefix?: string;
}

/** User name, password, and what kind of session is wanted. */
export interface Credentials {
  username: string;
  password: string;
  /** Scopes wanted, separated by spaces; without it all that the server grants. */
  scope?: string;
  /** Name for this device, shown in the list of sessions. */
  label?: string;
}

/** Whether somebody is signed in. The same object until that changes. */
export type State =
  /** Not known yet: the server is being asked, or cannot be. */
  | { readonly status: 'unknown'; readonly sessionId?: undefined }
  | { readonly status: 'signed-in'; readonly sessionId: string }
  /** `reason` is `logout`, or the code that ended the session; absent where there was none. */
  | { readonly status: 'signed-out'; readonly sessionId?: undefined; readonly reason?: string };

/** One login on one device. Times are RFC 3339. */
export interface Session {
  id: string;
  /** Whether it is the one of this page. */
  current: boolean;
  label: string;
  user_agent: string;
  ip: string;
  created_at: string;
  refreshed_at: string;
  expires_at: string;
}

/** One sign-in, shared by all tabs of an origin. No method needs its `this`. */
export interface Auth {
  /** Starts a session. Rejected with `invalid_credentials`, `too_many_requests` and the like. */
  login(credentials: Credentials): Promise<void>;
  /** Ends the session, or all of the user. Rejected where the server was not reached: then nothing has ended. */
  logout(options?: { everywhere?: boolean }): Promise<void>;
  /** Returns an access token that lives, renewed if need be; `null` when signed out. */
  token(): Promise<string | null>;
  /** The global `fetch`, with the access token for `attachTo`. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Returns whether somebody is signed in. */
  state(): State;
  /** Calls `listener` after each change of `state()`; returns what ends that. */
  subscribe(listener: () => void): () => void;
  /** Lists the user's devices. */
  sessions(): Promise<Session[]>;
  /** Logs one device out. */
  revoke(id: string): Promise<void>;
  /** Proves the password again: `token()` is then fresh, as `fresh_token_required` asks for. */
  reauthenticate(password: string): Promise<void>;
  /** Changes the password, and ends all other sessions of the user. */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<void>;
  /** Lets go of timers, listeners and the token. The session lives on. */
  dispose(): void;
}
