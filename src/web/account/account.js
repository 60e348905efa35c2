// The account page: profile, devices, addresses, password, and a command with a token.
import { runAction, addRow, timeElement, button, byId, sessionCells, clearForm, copyText, element, cancelLoads, confirmAction, load, showStatus, onSubmit } from '/pages/pages.js';
import { onLanguageChange, t } from '/pages/language.js';
import { signInOptions } from '/pages/options.js';
import { api, auth, returnTo, startPage } from '/pages/session.js';
import { enterEmails, leaveEmails } from '/account/emails.js';

const [devices, changePassword, curl] = ['devices', 'change-password', 'curl-whole'].map(byId);
const table = devices.querySelector('table');
const url = new URL('/v1/me', location);
const command = (token) => `curl -fsS '${url}' -H 'Authorization: Bearer ${token}'`;

signInOptions.then(({ registration, mail }) => {
  byId('to-forgot').hidden = !mail;
  byId('to-register').hidden = !registration;
  byId('links').hidden = !mail && !registration;
  if (mail) byId('username-label').textContent = t('User name or e-mail address');
});

let account;
let sessions = [];

const showMe = (me) => {
  account = me;
  const { user } = me;
  byId('me-username').textContent = user.username;
  byId('me-roles').textContent = user.roles.join(', ') || t('none');
  byId('me-created').replaceChildren(timeElement(user.created_at));
  byId('me-password').replaceChildren(timeElement(user.password_changed_at));
  changePassword.elements.username.value = user.username;
};

const showDevices = (items) => {
  sessions = items;
  table.tBodies[0].replaceChildren();
  for (const session of items) {
    const cells = sessionCells(session);
    addRow(table, [
      ...cells,
      session.current
        ? element('span', { className: 'badge' }, t('This device'))
        : button(t('Sign out'), 'small danger', () => endOne(session, cells[0].textContent)),
    ]);
  }
  byId('end-others').hidden = items.length < 2;
};

const loadDevices = () => load(devices, auth.sessions, showDevices);

/** Ends sessions one after the other; then shows the remaining ones, even after a failure. */
const end = async (ended, done) => {
  await runAction(async () => {
    for (const { id } of ended) {
      await auth.revoke(id).catch((error) => {
        // It has already ended.
        if (error.code !== 'not_found') throw error;
      });
    }
    return done;
  });
  await loadDevices();
  // The button with the focus may be gone.
  byId('devices-title').focus();
};

const endOne = async (session, device) => {
  if (!await confirmAction(t('Sign out {device}?', { device }), t('The person on that device must sign in again.'), t('Sign out'))) return;
  await end([session], t('{device} is signed out.', { device }));
};

byId('end-others').addEventListener('click', async () => {
  if (!await confirmAction(t('Sign out all other devices?'), t('You stay signed in here.'), t('Sign out others'))) return;
  await end(sessions.filter(({ current }) => !current), t('All other devices are signed out.'));
});

byId('end-all').addEventListener('click', async () => {
  if (!await confirmAction(t('Sign out everywhere?'), t('This device is signed out too.'), t('Sign out everywhere'))) return;
  await runAction(async () => {
    await auth.logout({ everywhere: true });
    return t('You are signed out everywhere.');
  });
});

onSubmit(changePassword, async ({ current_password: currentPassword, new_password: newPassword }) => {
  await auth.changePassword({ currentPassword, newPassword });
  const { value } = changePassword.elements.username;
  clearForm(changePassword);
  changePassword.elements.username.value = value;
  showStatus(t('Your password is changed, and all other devices are signed out.'));
  load(devices, () => Promise.all([api('GET', '/v1/me'), auth.sessions()]), ([me, items]) => {
    showMe(me);
    showDevices(items);
  });
}, { invalid_credentials: 'current_password', weak_password: 'new_password' });

byId('copy-curl').addEventListener('click', () => runAction(async () => {
  const token = await auth.token();
  // The session ended in another tab: the page shows that itself.
  if (!token) return '';
  const claims = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
  byId('curl-until').replaceChildren(t('Valid until'), ' ', timeElement(new Date(claims.exp * 1000).toISOString()));
  return copyText(command(token), curl, t('The command is copied.'));
}));

onLanguageChange(() => {
  if (!account) return;
  showMe(account);
  showDevices(sessions);
});

startPage((me) => {
  showMe(me);
  byId('curl-shown').textContent = command('…');
  if (returnTo) {
    byId('continue').hidden = false;
    byId('continue-to').href = returnTo;
    byId('continue-to').textContent = returnTo;
  }
  loadDevices();
  signInOptions.then(({ mail }) => {
    if (account) enterEmails(mail);
  });
}, () => {
  cancelLoads(devices);
  leaveEmails();
  account = undefined;
  sessions = [];
  table.tBodies[0].replaceChildren();
  clearForm(changePassword);
  changePassword.elements.username.value = '';
  curl.value = '';
  curl.hidden = true;
  byId('curl-until').textContent = '';
});
