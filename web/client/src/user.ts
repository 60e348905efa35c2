// The user of an access token.

import type { User } from './api.js';

/** Returns the user of an access token; `undefined` for a text that is none. The server checks the token. */
export const userOf = (token: string): User | undefined => {
  try {
    const bytes = atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'));
    // `escape` writes each byte as `%XX`, which is then read as UTF-8. A `TextDecoder` needs more code.
    // A token of a user without roles has no such claim.
    const { sub, preferred_username, roles = [] } = JSON.parse(decodeURIComponent(escape(bytes)));
    return { id: sub, username: preferred_username, roles };
  } catch {
    // Another text.
  }
  return;
};
