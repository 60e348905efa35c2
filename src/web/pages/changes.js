// Changes, for which the server may require the password again.
import { AuthError } from '/client/latchet.js';
import { byId, clearForm, onSubmit } from '/pages/pages.js';
import { api, auth } from '/pages/session.js';

const dialog = byId('prove');
const form = dialog.querySelector('form');

/** Resolves the open question: true if the password was confirmed. */
let resolveQuestion = () => {};
/** The open question, shared by all changes that wait for it. */
let question = null;

const confirmPassword = () => (question ??= new Promise((resolve) => {
  resolveQuestion = resolve;
  clearForm(form);
  form.elements.username.value = byId('who').textContent;
  dialog.showModal();
}).finally(() => {
  question = null;
  dialog.close();
  clearForm(form);
}));

onSubmit(form, async ({ password }) => {
  await auth.reauthenticate(password);
  resolveQuestion(true);
}, { invalid_credentials: 'password' });
byId('prove-cancel').addEventListener('click', () => resolveQuestion(false));
// The dialog was closed with a key, or because the session has ended.
dialog.addEventListener('close', () => {
  // Browsers report late that a dialog was closed: it may already be open for the next question.
  if (!dialog.open) resolveQuestion(false);
});

/** Sends a change as the signed-in user; asks for the password if the server requires a fresh token. */
export const sendChange = async (method, path, body) => {
  for (;;) {
    try {
      return await api(method, path, body);
    } catch (error) {
      if (error.code !== 'fresh_token_required') throw error;
      if (!await confirmPassword()) throw new AuthError('cancelled', 'nothing was changed');
    }
  }
};
