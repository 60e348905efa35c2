// Sessions of all users that live, newest first.
import { act, at, button, byId, deviceOf, isSure, since } from '/pages/pages.js';
import { api } from '/pages/session.js';
import { list } from './table.js';
import { linkTo } from './users.js';

/** The list of sessions. */
export const sessions = list(byId('sessions'), '/v1/sessions', (session) => [
  linkTo(session.user_id, session.username),
  deviceOf(session),
  session.ip,
  at(session.created_at),
  since(session.refreshed_at),
  button('End', 'small danger', () => end(session)),
]);

const end = async ({ id, username }) => {
  if (!await isSure(`End this session of ${username}?`, 'Whoever sits there has to sign in again.', 'End the session')) return;
  await act(async () => {
    await api('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
    return `The session of ${username} is ended.`;
  });
  await sessions.open();
  byId('sessions-title').focus();
};
