// Security events.
import { timeElement, byId } from '/pages/pages.js';
import { pagedList } from './table.js';
import { userLink } from './users.js';

/** Words for the kinds whose name is no sentence by itself. */
const WORDS = {
  refresh_reused: 'A stolen refresh token was used; its session has ended',
  login_throttled: 'Too many attempts to sign in',
  reset_link_made: 'Reset link created',
  user_created: 'User added',
  service_credential_ended: 'A credential of a program has ended',
  session_limit_reached: 'Session limit reached; the least recently used session has ended',
  key_rotated: 'Signing key rotated',
  root_secret_replaced: 'Root secret replaced, everyone signed out',
  first_administrator: 'First administrator created',
};

/** Returns `password_changed` as "Password changed". */
const sentence = (kind) => kind[0].toUpperCase() + kind.slice(1).replaceAll('_', ' ');

/** The list of events. */
export const events = pagedList(byId('events'), '/v1/events', (event) => [
  timeElement(event.at),
  WORDS[event.kind] ?? sentence(event.kind),
  event.user_id ? userLink(event.user_id, event.username ?? event.user_id) : [],
  event.by ?? [],
  event.ip ?? [],
]);
