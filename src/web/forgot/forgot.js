// Resets a forgotten password by a mail. The page shows the same for every address.
import { byId, clearForm, onSubmit, sendRequest } from '/pages/pages.js';

const [ask, reset] = ['ask', 'reset'].map((id) => byId(id).querySelector('form'));

/** Secret with which the code of the mail is valid. */
let request = '';

const show = (id, focus) => {
  for (const section of ['ask', 'reset', 'done']) byId(section).hidden = section !== id;
  focus.focus();
};

onSubmit(ask, async ({ email }) => {
  ({ request } = await sendRequest(fetch, 'POST', '/v1/password/forgot', { email }));
  clearForm(reset);
  show('reset', byId('sent'));
}, { validation_failed: 'email' });

onSubmit(reset, async ({ code, password }) => {
  await sendRequest(fetch, 'POST', '/v1/password/reset', { request, code, password });
  show('done', byId('done'));
}, { invalid_code: 'code', weak_password: 'password' });

byId('again').addEventListener('click', () => show('ask', ask.elements.email));
