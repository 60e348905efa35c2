// Active sessions of all users, newest first.
import { act, button, byId, cellsOf, isSure } from '/pages/pages.js';
import { sendChange } from './changes.js';
import { list } from './table.js';
import { linkTo } from './users.js';

/** The list of sessions. */
export const sessions = list(byId('sessions'), '/v1/sessions', (session) => [
  linkTo(session.user_id, session.username),
  ...cellsOf(session),
  button('End', 'small danger', () => end(session)),
]);

const end = async ({ id, username }) => {
  if (!await isSure(`End this session of ${username}?`, 'The person on that device must sign in again.', 'End the session')) return;
  await act(async () => {
    await sendChange('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
    return `The session of ${username} is ended.`;
  });
  await sessions.open();
  byId('sessions-title').focus();
};
