// Security events.
import { timeElement, byId } from '/pages/pages.js';
import { pagedList } from './table.js';
import { userLink } from './users.js';

const WORDS = {
  refresh_reused: 'A stolen refresh token was used; its session has ended',
  login_throttled: 'Too many attempts to sign in',
  password_changed: 'Password changed',
  password_reset: 'Password reset',
  reset_link_made: 'Reset link created',
  reset_link_withdrawn: 'Reset link withdrawn',
  user_created: 'User added',
  user_disabled: 'User disabled',
  user_enabled: 'User enabled',
  roles_changed: 'Roles changed',
  sessions_ended: 'Sessions ended',
  session_limit_reached: 'Session limit reached; the least recently used session has ended',
  key_rotated: 'Signing key rotated',
  first_administrator: 'First administrator created',
};

/** The list of events. */
export const events = pagedList(byId('events'), '/v1/events', (event) => [
  timeElement(event.at),
  WORDS[event.kind] ?? event.kind,
  event.user_id ? userLink(event.user_id, event.username ?? event.user_id) : [],
  event.by ?? [],
  event.ip ?? [],
]);
