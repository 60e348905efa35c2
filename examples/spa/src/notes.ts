// The notes of the signed-in user, stored by the service. Every call is rejected with an `AuthError`.

import { auth } from './auth';

export interface Note {
  id: string;
  text: string;
  /** Milliseconds since 1970. */
  created_at: number;
}

export const list = (): Promise<Note[]> => auth.json('/api/notes');

export const add = (text: string): Promise<Note> => auth.json('/api/notes', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ text }),
});

export const remove = (id: string): Promise<void> =>
  auth.json(`/api/notes/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** Deletes all notes. Rejected with `fresh_token_required` if the sign-in is not recent. */
export const removeAll = (): Promise<void> => auth.json('/api/notes', { method: 'DELETE' });

/** Deletes all notes, with the password of the user. */
export const removeAllWith = async (password: string): Promise<void> => {
  await auth.reauthenticate(password);
  await removeAll();
};
