// Creates the first administrator, and signs in.
import { AuthError, createAuth } from '/client/latchet.js';
import { sendRequest, byId, onSubmit } from '/pages/pages.js';
import { openOneTimeLink } from '/pages/link.js';

const form = byId('set-up').querySelector('form');

const link = openOneTimeLink('set-up');

onSubmit(form, async ({ username, password }) => {
  await sendRequest(fetch, 'POST', '/v1/setup', { link: link(), username, password });
  try {
    await createAuth({ baseUrl: '/' }).login({ username, password });
    location.replace('/admin');
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    // The account exists now, and the server would refuse the form a second time.
    for (const id of ['set-up', 'lead']) byId(id).hidden = true;
    byId('done').hidden = false;
    byId('done').focus();
  }
}, { weak_password: 'password', conflict: 'username' });
