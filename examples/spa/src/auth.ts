// Authentication state: one client for the whole page.

import { AuthError, createAuth, serverState, type State } from 'latchet-client';
import { useSyncExternalStore } from 'react';

export const auth = createAuth({ baseUrl: '/' });

export const useAuth = (): State => useSyncExternalStore(auth.subscribe, auth.state, serverState);

/** Returns the message for the user about a failed action. */
export const explain = (error: unknown): string => {
  if (!(error instanceof AuthError)) throw error;
  if (error.code === 'invalid_credentials') return 'The user name or the password is wrong.';
  if (error.code === 'network') return 'The server cannot be reached. Try again in a moment.';
  return error.retryAfter ? `Try again in ${Math.ceil(error.retryAfter)} s.` : error.message;
};
