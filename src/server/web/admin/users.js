// Users: search and add. Each row links to the user's own section.
import { act, at, byId, clear, element, say, submits } from '/pages/pages.js';
import { sendChange } from './changes.js';
import { list } from './table.js';

/** Splits the text of a roles field into roles. */
export const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Returns a badge with the state of a user. */
export const stateOf = ({ disabled }) =>
  element('span', { className: disabled ? 'badge off' : 'badge' }, disabled ? 'Disabled' : 'Active');

/** Returns a link to a user. */
export const linkTo = (id, name) => element('a', { href: `#users/${id}` }, name);

const roles = (names) =>
  element('span', { className: 'badges' }, ...names.map((role) => element('span', { className: 'badge' }, role)));

/** The list of users. */
export const users = list(byId('users'), '/v1/users', (user) => [
  linkTo(user.id, user.username),
  user.roles.length ? roles(user.roles) : [],
  stateOf(user),
  at(user.created_at),
]);

const dialog = byId('add-user');
const form = dialog.querySelector('form');

byId('add').addEventListener('click', () => {
  clear(form);
  dialog.showModal();
});
byId('add-cancel').addEventListener('click', () => dialog.close());

submits(form, async ({ username, password, roles: text }) => {
  const user = await sendChange('POST', '/v1/users', { username, password, roles: words(text) });
  clear(form);
  dialog.close();
  say(`${user.username} is added.`);
  users.open();
}, { conflict: 'username', weak_password: 'password' });
