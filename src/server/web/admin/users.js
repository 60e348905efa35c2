// Users: search, add; each leads to a page of its own.
import { act, at, byId, clear, element, say, submits } from '/pages/pages.js';
import { sendChange } from './changes.js';
import { list } from './table.js';

/** Returns the words of a text, as roles are written into a field. */
export const words = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Shows whether a user may sign in. */
export const stateOf = ({ disabled }) =>
  element('span', { className: disabled ? 'badge off' : 'badge' }, disabled ? 'Disabled' : 'Active');

/** Leads to one user. */
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
