// Creates an account where registration is open, and confirms its address by the code of a mail.
import { byId, clearForm, onSubmit, sendRequest } from '/pages/pages.js';
import { t } from '/pages/language.js';
import { signInOptions } from '/pages/options.js';

const [register, verify] = ['register', 'verify'].map((id) => byId(id).querySelector('form'));

/** Secret with which the code of the mail is valid. */
let request = '';

const show = (id, focus) => {
  for (const section of ['register', 'verify', 'done']) byId(section).hidden = section !== id;
  focus.focus();
};

signInOptions.then(({ registration, mail }) => {
  byId('register').hidden = registration === false;
  byId('closed').hidden = registration !== false;
  byId('email-field').hidden = !mail;
  register.elements.email.required = Boolean(mail);
  // A password manager may fill in a hidden field; the server would refuse the address.
  register.elements.email.disabled = !mail;
});

onSubmit(register, async ({ username, email = '', password }) => {
  const address = email.trim();
  const answer = await sendRequest(fetch, 'POST', '/v1/register', { username, password, ...(address && { email: address }) });
  clearForm(register);
  if (!address) {
    show('done', byId('done'));
    return;
  }
  ({ request } = answer);
  byId('sent-to').textContent = address;
  show('verify', byId('sent'));
}, { conflict: 'username', weak_password: 'password' });

onSubmit(verify, async ({ code }) => {
  await sendRequest(fetch, 'POST', '/v1/email/verify', { request, code: code.replace(/\D/g, '') });
  byId('done-text').textContent = t('Your address is confirmed.');
  show('done', byId('done'));
}, { invalid_code: 'code', conflict: 'code' });
