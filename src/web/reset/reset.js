// Sets a new password with a reset link, of an administrator or of a mail.
import { sendRequest, byId, onSubmit } from '/pages/pages.js';
import { openOneTimeLink } from '/pages/link.js';

const form = byId('reset').querySelector('form');

/** Fills in the user name for password managers. People know it, so failures are ignored. */
const fillUsername = async (secret) => {
  const answer = await sendRequest(fetch, 'POST', '/v1/password/reset/user', { link: secret }).catch(() => null);
  if (link() === secret) form.elements.username.value = answer?.username ?? '';
};

const link = openOneTimeLink('reset', (secret) => {
  // Later, because `link` is not assigned yet.
  queueMicrotask(() => fillUsername(secret));
});

onSubmit(form, async ({ password }) => {
  await sendRequest(fetch, 'POST', '/v1/password/reset', { link: link(), password });
  for (const id of ['reset', 'lead']) byId(id).hidden = true;
  byId('done').hidden = false;
  byId('done').focus();
}, { weak_password: 'password' });
