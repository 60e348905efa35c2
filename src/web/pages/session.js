// The session of a page: the signed-in user, the sign-in form, and the bar at the top.
import { createAuth } from '/client/latchet.js';
import { englishOf, t } from '/pages/language.js';
import { sendRequest, byId, clearForm, errorText, cancelLoads, load, showStatus, onSubmit } from '/pages/pages.js';

export const auth = createAuth({ baseUrl: '/' });

/** Sends a request as the signed-in user. */
export const api = (method, path, body) => sendRequest(auth.fetch, method, path, body);

/** Returns the reason for the end of a session. */
const endText = (reason) => ({
  logout: t('You are signed out.'),
  session_expired: t('Your session has expired.'),
  session_revoked: t('Your session was ended on another device or by an administrator.'),
  csrf_failed: t('Please sign in again: another program has changed a cookie of this server.'),
  refresh_reused: t('Your session was ended because an old copy of it was used. If you do not know why, change your password.'),
})[reason] ?? '';

const [title, waiting, signIn, signedIn, bar] =
  ['title', 'waiting', 'sign-in', 'signed-in', 'bar'].map(byId);
/** Name of the page, in English. */
const name = englishOf(title.textContent);

/** Address to continue at after the sign-in. The server has checked it; the URL of this page is not read. */
export const { returnTo } = document.body.dataset;

const setTitle = (english) => {
  title.textContent = t(english);
  document.title = `${t(english)} · Latchet`;
};

const showOnly = (shown) => {
  for (const part of [waiting, signIn, signedIn]) part.hidden = part !== shown;
  bar.hidden = shown !== signedIn;
};

/**
 * Shows the page to signed-in users, and the sign-in form to all others. `enter` receives the account;
 * `leave` clears everything that was shown.
 */
export const startPage = (enter, leave) => {
  let shown;
  let isArriving = false;

  const showAccount = (me) => {
    byId('who').textContent = me.user.username;
    byId('to-admin').hidden = !me.user.roles.includes('admin');
    setTitle(name);
    showOnly(signedIn);
    enter(me);
    // The form with the focus is gone.
    if (isArriving) title.focus();
    isArriving = false;
  };

  const render = () => {
    const state = auth.state();
    if (state === shown) return;
    const wasIn = shown?.status === 'signed-in';
    shown = state;
    if (wasIn) {
      for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
      leave();
    }
    cancelLoads(waiting);
    if (state.status === 'signed-out') {
      setTitle('Sign in');
      byId('ended').textContent = endText(state.reason);
      showOnly(signIn);
      byId('username').focus();
      return;
    }
    showOnly(waiting);
    if (state.status === 'signed-in') load(waiting, () => api('GET', '/v1/me'), showAccount);
    // The client retries by itself; this only shows the reason for the delay.
    if (state.error) waiting.querySelector('.notice').textContent = `${errorText(state.error)} ${t('Trying again …')}`;
  };

  onSubmit(signIn.querySelector('form'), async ({ username, password }) => {
    await auth.login({ username, password });
    isArriving = true;
    clearForm(signIn.querySelector('form'));
    showStatus('');
    // Only after the form: a site that refuses the user again would otherwise send the browser in circles.
    if (returnTo) location.replace(returnTo);
  }, { invalid_credentials: 'password' });
  byId('sign-out').addEventListener('click', () => auth.logout().catch((error) => showStatus(errorText(error), true)));
  auth.subscribe(render);
  render();
};
