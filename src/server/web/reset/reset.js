// Sets a new password by a link that an administrator made.
import { ask, byId, submits } from '/pages/pages.js';
import { onLink } from '/pages/link.js';

const link = onLink('reset', 'Open the whole link that you were given: it has a secret after #.');

submits(byId('reset').querySelector('form'), async ({ password }) => {
  await ask(fetch, 'POST', '/v1/password/reset', { link: link(), password });
  for (const id of ['reset', 'lead']) byId(id).hidden = true;
  byId('done').hidden = false;
  byId('done').focus();
}, { weak_password: 'password' });
