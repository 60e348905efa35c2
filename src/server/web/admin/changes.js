// Changes, for which the server may require the password again.
import { AuthError } from '/client/latchet.js';
import { byId, clear, submits } from '/pages/pages.js';
import { api, auth } from '/pages/session.js';

const dialog = byId('prove');
const form = dialog.querySelector('form');

/** Resolves the open question: true if the password was confirmed. */
let decided = () => {};
/** The open question, shared by all changes that wait for it. */
let question = null;

const isProved = () => (question ??= new Promise((resolve) => {
  decided = resolve;
  clear(form);
  form.elements.username.value = byId('who').textContent;
  dialog.showModal();
}).finally(() => {
  question = null;
  dialog.close();
  clear(form);
}));

submits(form, async ({ password }) => {
  await auth.reauthenticate(password);
  decided(true);
}, { invalid_credentials: 'password' });
byId('prove-cancel').addEventListener('click', () => decided(false));
// The dialog was closed with a key, or because the session has ended.
dialog.addEventListener('close', () => {
  // Browsers report late that a dialog was closed: it may already be open for the next question.
  if (!dialog.open) decided(false);
});

/** Sends a change as the signed-in user; asks for the password if the server requires a fresh token. */
export const sendChange = async (method, path, body) => {
  for (;;) {
    try {
      return await api(method, path, body);
    } catch (error) {
      if (error.code !== 'fresh_token_required') throw error;
      if (!await isProved()) throw new AuthError('cancelled', 'nothing was changed');
    }
  }
};
