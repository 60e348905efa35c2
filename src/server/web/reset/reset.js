// Sets a new password by a link that an administrator made.
import { ask, byId, submits } from '/pages/pages.js';
import { onLink } from '/pages/link.js';

const form = byId('reset').querySelector('form');

/** Tells password managers whose password it is. People know; so a failure is nobody's concern. */
const fillName = async (secret) => {
  const answer = await ask(fetch, 'POST', '/v1/password/reset/user', { link: secret }).catch(() => null);
  if (link() === secret) form.elements.username.value = answer?.username ?? '';
};

const link = onLink('reset', 'Open the whole link that you were given: it has a secret after #.', (secret) => {
  // Not before `link` is known.
  queueMicrotask(() => fillName(secret));
});

submits(form, async ({ password }) => {
  await ask(fetch, 'POST', '/v1/password/reset', { link: link(), password });
  for (const id of ['reset', 'lead']) byId(id).hidden = true;
  byId('done').hidden = false;
  byId('done').focus();
}, { weak_password: 'password' });
