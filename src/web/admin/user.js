// One user: state, roles, sessions, and a reset link.
import { runAction, addRow, timeElement, button, byId, sessionCells, clearForm, copyText, cancelLoads, confirmAction, load, showStatus, onSubmit } from '/pages/pages.js';
import { api } from '/pages/session.js';
import { sendChange } from '/pages/changes.js';
import { stateBadge, splitRoles } from './users.js';

const [section, sessions, form, link] = ['user', 'user-sessions', 'roles', 'link'].map(byId);
const table = sessions.querySelector('table');

/** The user in the section: late responses about another user are dropped. */
let user = {};

const pathOf = ({ id }) => `/v1/users/${encodeURIComponent(id)}`;

const show = (now) => {
  if (now.id !== user.id) return;
  user = now;
  byId('user-title').textContent = user.username;
  byId('user-state').replaceChildren(stateBadge(user));
  byId('user-created').replaceChildren(timeElement(user.created_at));
  byId('user-password').replaceChildren(timeElement(user.password_changed_at));
  byId('user-id').textContent = user.id;
  byId('disable').hidden = byId('reset-link').hidden = user.disabled;
  byId('enable').hidden = !user.disabled;
  form.elements.roles.value = user.roles.join(' ');
  byId('user-shown').hidden = false;
};

const showSessions = ({ items }) => {
  table.tBodies[0].replaceChildren();
  for (const session of items) {
    const cells = sessionCells(session);
    addRow(table, [
      ...cells,
      button('End', 'small danger', () => endOne(session, cells[0].textContent)),
    ]);
  }
  table.hidden = !items.length;
  sessions.querySelector('.empty').hidden = items.length > 0;
  byId('end-user-sessions').hidden = !items.length;
};

const loadSessions = () => load(sessions, () => api('GET', `${pathOf(user)}/sessions`), showSessions);

const hideLink = () => {
  byId('link-shown').hidden = true;
  link.value = '';
};

/** Shows a user. */
export const open = (id) => {
  close();
  user = { id };
  return load(section, () => api('GET', pathOf({ id })), (found) => {
    show(found);
    loadSessions();
  });
};

/** Clears the section. */
export const close = () => {
  cancelLoads(section);
  cancelLoads(sessions);
  user = {};
  byId('user-title').textContent = 'User';
  byId('user-shown').hidden = true;
  hideLink();
  table.tBodies[0].replaceChildren();
  clearForm(form);
};

/** Changes the shown user with `work`, and reloads the sessions. */
const change = async (work) => {
  const of = user;
  await runAction(() => work(of));
  if (of.id !== user.id) return;
  loadSessions();
  // The button may be gone.
  byId('user-title').focus();
};

const endOne = async ({ id }, device) => {
  if (!await confirmAction(`End the session on ${device}?`, `${user.username} must sign in there again.`, 'End the session')) return;
  await change(async () => {
    await sendChange('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
    return `The session on ${device} is ended.`;
  });
};

byId('end-user-sessions').addEventListener('click', async () => {
  const { username } = user;
  if (!await confirmAction(`End all sessions of ${username}?`, 'The user must sign in again on every device.', 'End all sessions')) return;
  await change(async (of) => {
    await sendChange('DELETE', `${pathOf(of)}/sessions`);
    return `All sessions of ${username} are ended.`;
  });
});

byId('disable').addEventListener('click', async () => {
  const { username } = user;
  if (!await confirmAction(`Disable ${username}?`, 'All sessions end at once, and nobody can sign in with this name.', 'Disable')) return;
  await change(async (of) => {
    show(await sendChange('POST', `${pathOf(of)}/disable`));
    hideLink();
    return `${username} is disabled.`;
  });
});

byId('enable').addEventListener('click', () => change(async (of) => {
  show(await sendChange('POST', `${pathOf(of)}/enable`));
  return `${of.username} can sign in again.`;
}));

byId('reset-link').addEventListener('click', () => runAction(async () => {
  const of = user;
  const made = await sendChange('POST', `${pathOf(of)}/reset-link`);
  if (of.id !== user.id) return '';
  link.value = made.link;
  byId('link-until').replaceChildren(timeElement(made.expires_at));
  byId('link-shown').hidden = false;
  link.focus();
  link.select();
  return '';
}));

byId('copy-link').addEventListener('click', () => runAction(() => copyText(link.value, link, 'The link is copied.')));

onSubmit(form, async ({ roles }) => {
  const of = user;
  show(await sendChange('PUT', `${pathOf(of)}/roles`, { roles: splitRoles(roles) }));
  showStatus(`The roles of ${of.username} are saved.`);
}, { conflict: 'roles' });
