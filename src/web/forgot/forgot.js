// Resets a forgotten password by a mail. The page shows the same for every address.
import { byId, clearForm, onSubmit, runAction, sendRequest } from '/pages/pages.js';
import { t } from '/pages/language.js';
import { signInOptions } from '/pages/options.js';

const [ask, reset] = ['ask', 'reset'].map((id) => byId(id).querySelector('form'));

/** Secret with which the code of the mail is valid. */
let request = '';

const show = (id, focus) => {
  for (const section of ['ask', 'reset', 'done']) byId(section).hidden = section !== id;
  focus.focus();
};

/** Asks for a mail to the address in the form. */
const sendMail = async () => {
  const email = ask.elements.email.value.trim();
  ({ request } = await sendRequest(fetch, 'POST', '/v1/password/forgot', { email }));
  clearForm(reset);
  // Password managers store the password under it: it signs in like the user name, which is not known here.
  reset.elements.username.value = email;
};

signInOptions.then(({ mail }) => {
  byId('ask').hidden = mail === false;
  byId('no-mail').hidden = mail !== false;
});

onSubmit(ask, async () => {
  await sendMail();
  show('reset', byId('sent'));
});

onSubmit(reset, async ({ code, password }) => {
  const digits = code.replace(/\D/g, '');
  await sendRequest(fetch, 'POST', '/v1/password/reset', { request, code: digits, password });
  clearForm(reset);
  show('done', byId('done'));
}, { invalid_code: 'code', weak_password: 'password' });

byId('again').addEventListener('click', () => runAction(async () => {
  await sendMail();
  reset.elements.code.focus();
  return t('Another mail is on its way, if an account has this address.');
}));

byId('change').addEventListener('click', () => show('ask', ask.elements.email));
