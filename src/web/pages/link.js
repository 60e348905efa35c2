// One-time links. Their secret is in the fragment, which browsers do not send, and is removed from the
// address bar at once.
import { byId } from '/pages/pages.js';

/**
 * Shows a form if the page was opened with a link, and `no-link` otherwise. Calls `opened` with the secret.
 * Returns a function for the current secret: another link may be opened in the same tab.
 */
export const openOneTimeLink = (id, opened = () => {}) => {
  let secret = '';

  const take = () => {
    // Anchors of the page itself are shorter.
    const [, found] = location.hash.match(/^#([\w-]{20,128})$/) ?? [];
    if (!found && secret) return;
    if (found) {
      secret = found;
      history.replaceState(null, '', location.pathname);
    }
    byId(id).hidden = byId('lead').hidden = !secret;
    byId('no-link').hidden = Boolean(secret);
    if (found) {
      byId('done').hidden = true;
      opened(found);
    }
  };

  addEventListener('hashchange', take);
  take();
  return () => secret;
};
