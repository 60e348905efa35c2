// Requests to the server about the session, and the proof of the session that they send.

import type { Credentials } from './api.js';
import { jsonBodyOf, AuthError } from './errors.js';
import { asPrefix } from './requests.js';
import type { Scope } from './scope.js';
import type { Grant } from './tabs.js';
import { userOf } from './user.js';

/** Timeout of a request: one without a response must not block all others forever. */
const REQUEST_TIMEOUT_MS = 30_000;

/** The server, and the place of the refresh token: the cookie of a browser, or the storage of an app. */
export interface Server {
  /** Returns the secret that a refresh sends: the CSRF value, or the refresh token. Empty without a session. */
  proof(): string;
  /** Remembers the proof of the session; an empty one ends it on this device. */
  rememberProof(value: string): void;
  /** Excludes a refused proof. */
  excludeProof(value: string): void;
  /** Returns the error for a refresh without a proof. */
  missingProofError(): AuthError;
  /** Returns whether there is certainly no session. */
  hasNoSession(): boolean;
  /** Returns a request to the server, without the access token. */
  createRequest(method: string, path: string, body?: object): Request;
  /** Sends a request without the access token. */
  post(path: string, body: object): Promise<any>;
  /** Reads, and stores, the tokens of a response. */
  acceptTokens(answer: any): Grant | Promise<Grant>;
  sendLogin(credentials: Credentials): Promise<Grant>;
  /** Requests the next tokens; a retry repeats the `key`. */
  sendRefresh(key: string, controller: AbortController): Promise<Grant>;
  /** Ends the session of `token`; without a token, the session of this device. */
  sendLogout(token: string | null): Promise<unknown>;
}

/** Returns a signal that aborts after a timeout, or when `controller` aborts. */
export const timeoutSignal = (scope: Scope, ms: number, controller = new AbortController()): AbortSignal => {
  scope.setTimeout(() => controller.abort(), ms);
  return controller.signal;
};

/** Returns the functions that create and send requests to the server at `base`. */
export const requestsTo = (
  scope: Scope, base: URL, credentials: RequestCredentials, usualHeaders: () => Record<string, string>,
) => {
  const createRequest = (
    method: string, path: string, body?: object, headers?: Record<string, string> | '' | null, controller?: AbortController,
  ): Request =>
    new Request(asPrefix(base) + path, {
      method,
      body: (body && JSON.stringify(body)) as string,
      headers: { 'Content-Type': 'application/json', ...usualHeaders(), ...headers as object },
      credentials,
      signal: timeoutSignal(scope, REQUEST_TIMEOUT_MS, controller),
    });
  const post = (path: string, body: object, headers?: Record<string, string> | '' | null, controller?: AbortController) =>
    jsonBodyOf(scope, scope.fetch(createRequest('POST', path, body, headers, controller)));
  return { createRequest, post };
};

/** Reads the access token of a response. */
export const parseGrant = (answer: any): Grant => {
  if (!userOf(answer?.access_token)) throw new AuthError('unexpected_answer');
  return {
    token: answer.access_token,
    sid: answer.session_id,
    csrf: answer.csrf_token,
    life: answer.expires_in * 1000,
    age: 0,
  };
};
