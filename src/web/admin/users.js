// Users: search and add. Each row links to the user's own section.
import { timeElement, byId, clearForm, element, showStatus, onSubmit } from '/pages/pages.js';
import { sendChange } from '/pages/changes.js';
import { pagedList } from './table.js';

/** Splits the text of a roles field into roles. */
export const splitRoles = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Returns a badge with the state of a user. */
export const stateBadge = ({ disabled }) =>
  element('span', { className: disabled ? 'badge off' : 'badge' }, disabled ? 'Disabled' : 'Enabled');

/** Returns a link to a user. */
export const userLink = (id, name) => element('a', { href: `#users/${id}` }, name);

const roles = (names) =>
  element('span', { className: 'badges' }, ...names.map((role) => element('span', { className: 'badge' }, role)));

/** The list of users. */
export const users = pagedList(byId('users'), '/v1/users', (user) => [
  userLink(user.id, user.username),
  user.roles.length ? roles(user.roles) : [],
  stateBadge(user),
  timeElement(user.created_at),
]);

const dialog = byId('add-user');
const form = dialog.querySelector('form');

byId('add').addEventListener('click', () => {
  clearForm(form);
  dialog.showModal();
});
byId('add-cancel').addEventListener('click', () => dialog.close());

onSubmit(form, async ({ username, password, roles: text }) => {
  const user = await sendChange('POST', '/v1/users', { username, password, roles: splitRoles(text) });
  clearForm(form);
  dialog.close();
  showStatus(`${user.username} is added.`);
  users.open();
}, { conflict: 'username', weak_password: 'password' });
