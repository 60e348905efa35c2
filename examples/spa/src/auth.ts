// Authentication: one client for the whole page.

import { AuthError, createAuth } from 'latchet-client';

export const auth = createAuth({ baseUrl: '/' });

/** Returns the message for the user about a failed action. */
export const explain = (error: unknown): string => {
  if (!(error instanceof AuthError)) throw error;
  if (error.code === 'invalid_credentials') return 'The user name or the password is wrong.';
  if (error.code === 'network') return 'The server cannot be reached. Try again in a moment.';
  return error.retryAfter ? `Try again in ${Math.ceil(error.retryAfter)} s.` : error.detail;
};
