// Unused reset links.
import { act, at, button, byId, isSure } from '/pages/pages.js';
import { sendChange } from './changes.js';
import { list } from './table.js';
import { linkTo } from './users.js';

/** The list of links. */
export const links = list(byId('links'), '/v1/reset-links', (link) => [
  linkTo(link.user_id, link.username),
  link.by ?? 'Command line',
  at(link.made_at),
  at(link.expires_at),
  button('Withdraw', 'small danger', () => withdraw(link)),
]);

const withdraw = async ({ user_id: id, username }) => {
  if (!await isSure(`Withdraw the link for ${username}?`, 'The link becomes invalid at once. The password does not change.', 'Withdraw')) return;
  await act(async () => {
    await sendChange('DELETE', `/v1/users/${encodeURIComponent(id)}/reset-link`);
    return `The link for ${username} is withdrawn.`;
  });
  await links.open();
  byId('links-title').focus();
};
