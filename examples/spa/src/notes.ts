// The notes of the signed-in user, stored by the service. Every call is rejected with an `AuthError`.

import { AuthError } from 'latchet-client';
import { auth } from './auth';

export interface Note {
  id: string;
  text: string;
  /** Milliseconds since 1970. */
  created_at: number;
}

const send = async (method: string, path: string, init: RequestInit = {}): Promise<Response> => {
  const response = await auth.fetch(path, { ...init, method }).catch((cause) => {
    throw cause instanceof AuthError ? cause : new AuthError('network', cause.message);
  });
  if (response.ok) return response;
  // The service responds as Latchet does: RFC 9457, with a code.
  const problem = await response.json().catch(() => null);
  const wait = Number(response.headers.get('Retry-After'));
  throw new AuthError(problem?.code ?? 'unexpected_answer', problem?.detail, response.status, wait);
};

const json = (body: object): RequestInit =>
  ({ headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

export const list = async (): Promise<Note[]> => (await send('GET', '/api/notes')).json();

export const add = async (text: string): Promise<Note> => (await send('POST', '/api/notes', json({ text }))).json();

export const remove = (id: string): Promise<unknown> => send('DELETE', `/api/notes/${encodeURIComponent(id)}`);

/** Deletes all notes. Rejected with `fresh_token_required` if the sign-in is not recent. */
export const removeAll = (): Promise<unknown> => send('DELETE', '/api/notes');

/** Deletes all notes, with the password of the user. */
export const removeAllWith = async (password: string): Promise<unknown> => {
  const { access_token } = await (await send('POST', '/v1/reauthenticate', json({ password }))).json();
  // For this one request: the client keeps the token that it has.
  return send('DELETE', '/api/notes', { headers: { Authorization: `Bearer ${access_token}` } });
};
