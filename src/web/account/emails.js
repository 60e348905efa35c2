// The section of the account page with the e-mail addresses: add one, prove it by its code, choose the primary one.
import { addRow, button, byId, cancelLoads, clearForm, confirmAction, element, load, onSubmit, runAction, showStatus, timeElement } from '/pages/pages.js';
import { sendChange } from '/pages/changes.js';
import { onLanguageChange, t } from '/pages/language.js';
import { api } from '/pages/session.js';

const section = byId('emails');
const [add, prove] = ['add-email', 'prove-email'].map(byId);
const table = section.querySelector('table');

let isMailOn = false;
let emails = [];
/** Secret with which the code of the last mail is valid. */
let request = '';

const path = ({ id }) => `/v1/me/emails/${encodeURIComponent(id)}`;

const showProof = (isShown, address = '') => {
  prove.hidden = !isShown;
  clearForm(prove);
  byId('prove-email-to').textContent = address;
  if (isShown) prove.elements.code.focus();
};

/** Sends a mail with a code to an address, and shows the form for the code. */
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
  // The button with the focus may be gone.
  byId('emails-title').focus();
};

const remove = async (email) => {
  const { address } = email;
  if (!await confirmAction(t('Remove {address}?', { address }), t('It can no longer be used to sign in or to set a new password.'), t('Remove'))) return;
  if (byId('prove-email-to').textContent === address) showProof(false);
  await change(() => sendChange('DELETE', path(email)), t('{address} is removed.', { address }));
};

const makePrimary = (email) => {
  const { address } = email;
  return change(() => sendChange('POST', `${path(email)}/primary`), t('{address} receives notices from now on.', { address }));
};

/** Returns the buttons of an address. Their names would be the same in all rows, so the labels add the address. */
const actionsOf = (email) => {
  const { address, verified, primary } = email;
  const action = (text, className, onclick) =>
    Object.assign(button(text, className, onclick), { ariaLabel: `${text}: ${address}` });
  const actions = [];
  if (!verified && isMailOn) {
    actions.push(action(t('Send again'), 'small', () => runAction(() => sendMail(address))));
  }
  if (verified && !primary) actions.push(action(t('Make primary'), 'small', () => makePrimary(email)));
  const isNeeded = primary && emails.filter((other) => other.verified).length > 1;
  if (!isNeeded) actions.push(action(t('Remove'), 'small danger', () => remove(email)));
  return element('div', { className: 'actions' }, ...actions);
};

const stateOf = ({ verified, primary }) => {
  const badge = (text, className = 'badge') => element('span', { className }, text);
  if (!verified) return badge(t('Not confirmed'), 'badge off');
  return element('span', { className: 'badges' }, ...(primary ? [badge(t('Primary'))] : []), badge(t('Confirmed')));
};

const show = ({ items }) => {
  emails = items;
  table.tBodies[0].replaceChildren();
  for (const email of items) {
    const address = element('span', { translate: false }, email.address);
    addRow(table, [address, stateOf(email), timeElement(email.created_at), actionsOf(email)]);
  }
  table.hidden = !items.length;
  // Without mail no address can be added, but those from before can be removed.
  section.hidden = !isMailOn && !items.length;
};

const loadEmails = () => load(section, () => api('GET', '/v1/me/emails'), show);

onSubmit(add, async ({ email }) => {
  await sendMail(email.trim());
  clearForm(add);
  loadEmails();
}, { conflict: 'email' });

onSubmit(prove, async ({ code }) => {
  await api('POST', '/v1/email/verify', { request, code: code.replace(/\D/g, '') });
  const address = byId('prove-email-to').textContent;
  showProof(false);
  showStatus(t('{address} is confirmed.', { address }));
  loadEmails();
  byId('emails-title').focus();
}, { invalid_code: 'code', conflict: 'code' });

byId('prove-email-later').addEventListener('click', () => {
  showProof(false);
  byId('emails-title').focus();
});

onLanguageChange(() => show({ items: emails }));

/** Shows the addresses of a signed-in user. */
export const enterEmails = (mail) => {
  isMailOn = mail;
  add.hidden = !mail;
  loadEmails();
};

/** Removes everything that was shown. */
export const leaveEmails = () => {
  cancelLoads(section);
  request = '';
  showProof(false);
  clearForm(add);
  show({ items: [] });
  section.hidden = true;
};
