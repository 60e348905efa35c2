// Active sessions of all users, newest first.
import { runAction, button, byId, sessionCells, confirmAction } from '/pages/pages.js';
import { sendChange } from '/pages/changes.js';
import { pagedList } from './table.js';
import { userLink } from './users.js';

/** The list of sessions. */
export const sessions = pagedList(byId('sessions'), '/v1/sessions', (session) => [
  userLink(session.user_id, session.username),
  ...sessionCells(session),
  button('End', 'small danger', () => end(session)),
]);

const end = async ({ id, username }) => {
  if (!await confirmAction(`End this session of ${username}?`, 'The person on that device must sign in again.', 'End the session')) return;
  await runAction(async () => {
    await sendChange('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
    return `The session of ${username} is ended.`;
  });
  await sessions.open();
  byId('sessions-title').focus();
};
