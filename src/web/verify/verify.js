// Verifies an e-mail address with the link of a mail. Nothing is sent before the button is pressed: programs that
// look at the links of mails use nothing up.
import { byId, onSubmit, sendRequest } from '/pages/pages.js';
import { openOneTimeLink } from '/pages/link.js';

const link = openOneTimeLink('verify');

onSubmit(byId('verify').querySelector('form'), async () => {
  await sendRequest(fetch, 'POST', '/v1/email/verify', { link: link() });
  for (const id of ['verify', 'lead']) byId(id).hidden = true;
  byId('done').hidden = false;
  byId('done').focus();
});
