// The session of an app: the refresh token is in the storage of the app, and requests send it in their bodies.
//
// One item of the storage has everything, so that a crash leaves either the old content or the new one. The key
// of a refresh is stored before the request is sent, and the new refresh token before anything of the response
// is used: after a crash in between, the app repeats the same refresh and receives the same response.

import { AuthError } from './errors.js';
import type { Scope } from './scope.js';
import { parseGrant, requestsTo, type Server } from './server.js';

/** Storage that only the app can read: the Keychain, or an encrypted file. */
export interface Storage {
  getItem(name: string): Promise<string | null>;
  setItem(name: string, value: string): Promise<unknown>;
  removeItem(name: string): Promise<unknown>;
}

interface Stored {
  refresh_token?: string;
  /** Key of a refresh without a response. */
  key?: string;
  /** Proves at the next login that the account knows this device; outlives the session. */
  device_token?: string;
}

const parse = (text: string | null): Stored => {
  try {
    return JSON.parse(text!) ?? {};
  } catch {
    // Not written by this client.
    return {};
  }
};

const storageError = (cause: Error): never => {
  throw new AuthError('storage', cause.message);
};

/** Connects to the server at `base` by a storage. `open` reads the storage, once. */
export const connectByStorage = (scope: Scope, base: URL, storage: Storage): Server & { open(): Promise<void> } => {
  // SecureStore of Expo permits letters, digits, `.`, `-` and `_`.
  const name = 'latchet.' + base.host.replace(/[^\w.-]/g, '_');
  /** Content of the storage; `null` until it has been read. */
  let stored: Stored | null = null;
  /** The last write. Each waits for the one before: an older token must not replace a newer one. */
  let lastWrite: Promise<unknown> = Promise.resolve();

  const open = async () => {
    if (stored) return;
    const text = await storage.getItem(name).catch(storageError);
    stored ??= parse(text);
  };

  const write = (next: Stored): Promise<unknown> => {
    lastWrite = lastWrite.catch(() => {}).then(() =>
      (Object.keys(next).length ? storage.setItem(name, JSON.stringify(next)) : storage.removeItem(name)));
    return lastWrite.catch(storageError);
  };

  /** Replaces the content `old` durably, unless the session has ended or changed meanwhile. */
  const replace = async (old: Stored | null, next: Stored): Promise<void> => {
    if (stored !== old) return;
    await write(next);
    if (stored === old) stored = next;
  };

  const withoutSession = ({ device_token }: Stored): Stored => (device_token ? { device_token } : {});

  const { createRequest, post } = requestsTo(scope, base, 'omit', () => ({}));
  const proof = () => (stored ? stored.refresh_token ?? '' : 'unread');
  const missingProofError = () => new AuthError('missing_token', 'there is no session', 401);

  return {
    open,
    proof,
    createRequest,
    post,
    missingProofError,
    excludeProof: () => {},
    hasNoSession: () => proof() === '',
    rememberProof: (value) => {
      if (value || !stored?.refresh_token) return;
      stored = withoutSession(stored);
      // If this fails, the token that remains is one that the server refuses.
      write(stored).catch(() => {});
    },
    acceptTokens: async (answer) => {
      const grant = parseGrant(answer);
      const { refresh_token } = answer;
      if (stored && refresh_token) await replace(stored, { ...withoutSession(stored), refresh_token });
      return grant;
    },
    sendLogin: async (credentials) => {
      await open();
      const old = stored!;
      const answer = await post('v1/login', { ...withoutSession(old), ...credentials, transport: 'body' });
      const grant = parseGrant(answer);
      const { refresh_token, device_token = old.device_token } = answer;
      const next = { refresh_token, ...withoutSession({ device_token }) };
      await write(next).catch((error) => {
        // The next start of the app would not find it.
        post('v1/logout', { refresh_token }).catch(() => {});
        throw error;
      });
      stored = next;
      // As in a browser, the new session replaces the one before.
      if (old.refresh_token) post('v1/logout', { refresh_token: old.refresh_token }).catch(() => {});
      return grant;
    },
    sendRefresh: async (key, controller) => {
      await open();
      // A stored key belongs to a refresh without a response, perhaps of an earlier run of the app.
      if (stored!.refresh_token && !stored!.key) await replace(stored, { ...stored, key });
      const sent = stored!;
      if (!sent.refresh_token) throw missingProofError();
      const { refresh_token } = sent;
      const answer = await post('v1/refresh', { refresh_token }, { 'Idempotency-Key': sent.key! }, controller);
      const grant = parseGrant(answer);
      await replace(sent, { ...withoutSession(sent), refresh_token: answer.refresh_token });
      return grant;
    },
    sendLogout: async (token) => {
      if (token) return post('v1/logout', {}, { Authorization: 'Bearer ' + token });
      await open();
      return post('v1/logout', { refresh_token: stored!.refresh_token });
    },
  };
};
