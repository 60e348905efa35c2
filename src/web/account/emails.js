// The section of the account page with the e-mail addresses: add one, prove it by its code, choose the primary one.
import { addRow, button, byId, clearForm, confirmAction, element, load, onSubmit, runAction, showStatus } from '/pages/pages.js';
import { sendChange } from '/pages/changes.js';
import { api } from '/pages/session.js';

const section = byId('emails');
const [add, prove] = ['add-email', 'prove-email'].map(byId);
const table = section.querySelector('table');

/** Secret with which the code of the last mail is valid. */
let request = '';

const path = ({ id }) => `/v1/me/emails/${id}`;

const showProof = (isShown, address = '') => {
  prove.hidden = !isShown;
  clearForm(prove);
  byId('prove-email-to').textContent = address;
  if (isShown) prove.elements.code.focus();
};

/** Sends a mail with a code to an address. */
const sendMail = async (email) => {
  ({ request } = await sendChange('POST', '/v1/me/emails', { email }));
  showProof(true, email);
};

const change = async (work, done) => {
  await runAction(async () => {
    await work();
    return done;
  });
  loadEmails();
  byId('emails-title').focus();
};

const remove = async (email) => {
  if (!await confirmAction(`Remove ${email.address}?`, 'It can no longer be used to sign in or to set a new password.', 'Remove')) return;
  await change(() => sendChange('DELETE', path(email)), `${email.address} is removed.`);
};

const actionsOf = (email, all) => {
  const actions = [];
  if (!email.verified) {
    actions.push(button('Send a code', 'small', () => runAction(() => sendMail(email.address))));
  } else if (!email.primary) {
    const makePrimary = () => sendChange('POST', `${path(email)}/primary`);
    actions.push(button('Make primary', 'small', () => change(makePrimary, `${email.address} receives notices from now on.`)));
  }
  const isNeeded = email.primary && all.filter(({ verified }) => verified).length > 1;
  if (!isNeeded) actions.push(button('Remove', 'small danger', () => remove(email)));
  return element('div', { className: 'actions' }, ...actions);
};

const stateOf = ({ verified, primary }) => {
  if (!verified) return 'not confirmed';
  return primary ? element('span', { className: 'badge' }, 'Primary') : 'confirmed';
};

const show = ({ items }) => {
  table.tBodies[0].replaceChildren();
  for (const email of items) addRow(table, [email.address, stateOf(email), actionsOf(email, items)]);
  table.hidden = !items.length;
};

const loadEmails = () => load(section, () => api('GET', '/v1/me/emails'), show);

onSubmit(add, async ({ email }) => {
  await sendMail(email);
  clearForm(add);
  loadEmails();
}, { conflict: 'email', validation_failed: 'email' });

onSubmit(prove, async ({ code }) => {
  await api('POST', '/v1/email/verify', { request, code });
  const address = byId('prove-email-to').textContent;
  showProof(false);
  showStatus(`${address} is confirmed.`);
  loadEmails();
  byId('emails-title').focus();
}, { invalid_code: 'code' });

/** Shows the section to a signed-in user, where the server sends mails. */
export const enterEmails = (isMailOn) => {
  section.hidden = !isMailOn;
  if (isMailOn) loadEmails();
};

/** Removes everything that was shown. */
export const leaveEmails = () => {
  request = '';
  showProof(false);
  clearForm(add);
  table.tBodies[0].replaceChildren();
};
