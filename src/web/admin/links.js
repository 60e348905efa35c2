// Unused reset links.
import { runAction, timeElement, button, byId, confirmAction } from '/pages/pages.js';
import { sendChange } from '/pages/changes.js';
import { pagedList } from './table.js';
import { userLink } from './users.js';

/** The list of links. */
export const links = pagedList(byId('links'), '/v1/reset-links', (link) => [
  userLink(link.user_id, link.username),
  link.by ?? 'Command line',
  timeElement(link.made_at),
  timeElement(link.expires_at),
  button('Withdraw', 'small danger', () => withdraw(link)),
]);

const withdraw = async ({ user_id: id, username }) => {
  if (!await confirmAction(`Withdraw the link for ${username}?`, 'The link becomes invalid at once. The password does not change.', 'Withdraw')) return;
  await runAction(async () => {
    await sendChange('DELETE', `/v1/users/${encodeURIComponent(id)}/reset-link`);
    return `The link for ${username} is withdrawn.`;
  });
  await links.open();
  byId('links-title').focus();
};
