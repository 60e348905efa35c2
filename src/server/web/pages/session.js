// The session of a page: who is signed in, the form for who is not, the bar above.
import { createAuth } from '/client/latchet.js';
import { ask, byId, clear, explain, forget, load, say, submits } from '/pages/pages.js';

export const auth = createAuth({ baseUrl: '/' });

/** Sends a request in the name of who is signed in. */
export const api = (method, path, body) => ask(auth.fetch, method, path, body);

const ENDS = {
  logout: 'You are signed out.',
  session_expired: 'Your session has expired.',
  session_revoked: 'Your session was ended, on another device or by an administrator.',
  csrf_failed: 'Please sign in again: a cookie of this server was changed by something else.',
  refresh_reused: 'Your session was ended because an old copy of it was used. If you cannot say why, change your password.',
};

const [title, waiting, signIn, signedIn, bar] =
  ['title', 'waiting', 'sign-in', 'signed-in', 'bar'].map(byId);
const name = title.textContent;

const head = (text) => {
  title.textContent = text;
  document.title = `${text} · Latchet`;
};

const only = (shown) => {
  for (const part of [waiting, signIn, signedIn]) part.hidden = part !== shown;
  bar.hidden = shown !== signedIn;
};

/**
 * Shows the page to who is signed in: `enter` is told who that is, and `leave` takes away all that
 * was shown. Who is not signed in sees the form.
 */
export const start = (enter, leave) => {
  let shown;
  let isArriving = false;

  const welcome = (me) => {
    byId('who').textContent = me.user.username;
    byId('to-admin').hidden = !me.user.roles.includes('admin');
    head(name);
    only(signedIn);
    enter(me);
    // The form that had the focus is gone.
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
    forget(waiting);
    if (state.status === 'signed-out') {
      head('Sign in');
      byId('ended').textContent = ENDS[state.reason] ?? '';
      only(signIn);
      byId('username').focus();
      return;
    }
    only(waiting);
    if (state.status === 'signed-in') load(waiting, () => api('GET', '/v1/me'), welcome);
  };

  submits(signIn.querySelector('form'), async ({ username, password }) => {
    await auth.login({ username, password });
    isArriving = true;
    clear(signIn.querySelector('form'));
    say('');
  }, { invalid_credentials: 'password' });
  byId('sign-out').addEventListener('click', () => auth.logout().catch((error) => say(explain(error), true)));
  auth.subscribe(render);
  render();
  // The client asks again by itself; this only says why there is nothing to see yet.
  auth.token().catch((error) => {
    if (auth.state().status === 'unknown') waiting.querySelector('.notice').textContent = `${explain(error)} Trying again …`;
  });
};
