// Links that work once. Their secret stands after `#`, which browsers send to nobody, and leaves the
// address bar at once.
import { byId } from '/pages/pages.js';

/**
 * Shows a form to who came by a link, and `missing` to who did not. Calls `opened` with the secret. Returns
 * what says so; another link that is opened in the same tab counts from then on.
 */
export const onLink = (id, missing, opened = () => {}) => {
  let secret = '';
  const lead = byId('lead');
  const text = lead.textContent;

  const take = () => {
    // Not the anchors of the page itself.
    const [, found] = location.hash.match(/^#([\w-]{20,128})$/) ?? [];
    if (found) {
      secret = found;
      history.replaceState(null, '', location.pathname);
    }
    byId(id).hidden = !secret;
    lead.textContent = secret ? text : missing;
    if (found) {
      byId('done').hidden = true;
      opened(found);
    }
  };

  addEventListener('hashchange', take);
  take();
  return () => secret;
};
