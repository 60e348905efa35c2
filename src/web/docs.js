// The API documentation: Swagger UI, with a login that survives a reload and the expiry of the access token.
//
// The refresh token is in a cookie that no script can read. This page keeps the access token in memory only;
// it writes nothing to localStorage or sessionStorage.
'use strict';

(() => {
  // Time before the expiry at which the token is renewed, so that it does not expire in transit.
  const MARGIN_MS = 5000;

  let ui;
  let access = null; // { token, expiresAt }
  let renewal = null; // the running refresh, shared by all requests that wait for it

  // The server replaces this prefix with its own. Cookies that only this host can set over https come first,
  // then those with this server's port: another server on this host may use the usual names.
  const PREFIX = 'latchet';
  const isHttps = location.protocol === 'https:';
  const names = [`${PREFIX}_${location.port || (isHttps ? 443 : 80)}_csrf`, `${PREFIX}_csrf`];
  const ofHost = names.map((name) => `__Host-${name}`);
  const order = isHttps ? [...ofHost, ...names] : [...names, ...ofHost];

  const csrf = () => {
    const pairs = document.cookie.split('; ').map((pair) => pair.split('='));
    const found = order.map((name) => pairs.find(([known, value]) => known === name && value));
    return found.find(Boolean)?.[1] ?? null;
  };

  const post = (path, body) => {
    const headers = { 'Content-Type': 'application/json' };
    if (csrf()) headers['X-CSRF-Token'] = csrf();
    return fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  };

  const scheme = () => ui.specSelectors.securityDefinitions()
    .findEntry((schema) => schema.get('type') === 'oauth2');

  // Passes the token to Swagger UI, which then sends it and unlocks its padlocks.
  const adopt = (answer) => {
    access = { token: answer.access_token, expiresAt: Date.now() + answer.expires_in * 1000 };
    const [name, schema] = scheme();
    ui.authActions.authorizeOauth2({
      auth: { name, schema },
      token: { access_token: answer.access_token, token_type: 'Bearer' },
    });
  };

  const forget = () => {
    access = null;
    ui.authActions.logout([scheme()[0]]);
  };

  const explain = async (response) => {
    const problem = await response.json().catch(() => ({}));
    const wait = response.headers.get('Retry-After');
    const detail = problem.detail || `The server responded with ${response.status}.`;
    return wait ? `${detail} (retry in ${wait} s)` : detail;
  };

  const signIn = async (username, password) => {
    const response = await post('/v1/login', { username, password, transport: 'cookie' });
    if (!response.ok) throw new Error(await explain(response));
    adopt(await response.json());
  };

  // A session that ended elsewhere signs this page out; a busy server does not.
  const renew = () => {
    renewal ??= post('/v1/refresh', {})
      .then(async (response) => {
        if (response.ok) adopt(await response.json());
        else if (response.status === 401 && access) forget();
      })
      .catch(() => {})
      .finally(() => { renewal = null; });
    return renewal;
  };

  const signOut = async () => {
    const response = await post('/v1/logout', {});
    if (!response.ok && response.status !== 401) throw new Error(await explain(response));
    forget();
  };

  // Swagger UI calls this for each request before it sends it.
  const withLiveToken = async (request) => {
    const authorization = request.headers && request.headers.Authorization;
    if (access && authorization === `Bearer ${access.token}`) {
      if (access.expiresAt - Date.now() < MARGIN_MS && csrf()) await renew();
      if (access) request.headers.Authorization = `Bearer ${access.token}`;
    } else if (!authorization && csrf() && /\/v1\/(refresh|logout)$/.test(request.url)) {
      request.headers['X-CSRF-Token'] = csrf();
    }
    return request;
  };

  // The Authorize dialog: user name and password instead of client ids and scopes. A native dialog keeps
  // the focus inside and closes on Escape.
  const authorizeDialog = (system) => {
    const h = system.React.createElement;
    const { useEffect, useRef, useState } = system.React;

    const credentials = () => [
      h('label', { key: 'n', htmlFor: 'oauth_username' }, 'User name'),
      h('input', { key: 'name', id: 'oauth_username', name: 'username', type: 'text', autoComplete: 'username', autoCapitalize: 'none', spellCheck: false, required: true, autoFocus: true }),
      h('label', { key: 'p', htmlFor: 'oauth_password' }, 'Password'),
      h('input', { key: 'password', id: 'oauth_password', name: 'password', type: 'password', autoComplete: 'current-password', required: true }),
    ];

    return function AuthorizeDialog({ authSelectors, authActions }) {
      const [problem, setProblem] = useState('');
      const [busy, setBusy] = useState(false);
      const dialog = useRef(null);
      useEffect(() => { dialog.current.showModal(); }, []);
      const close = () => authActions.showDefinitions(false);
      const isSignedIn = Boolean(authSelectors.authorized().get(scheme()[0]));

      const submit = async (event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        setBusy(true);
        setProblem('');
        try {
          if (isSignedIn) await signOut();
          else await signIn(form.get('username'), form.get('password'));
        } catch (error) {
          setProblem(error.message);
        }
        setBusy(false);
      };

      return h('dialog', { ref: dialog, className: 'login', 'aria-labelledby': 'login-title', onClose: close },
        h('form', { className: 'auth-container', onSubmit: submit },
          h('h2', { id: 'login-title' }, isSignedIn ? 'Signed in' : 'Sign in'),
          isSignedIn ? h('p', null, 'You stay signed in until you log out, even after a reload.') : credentials(),
          h('p', { role: 'alert' }, problem),
          h('div', { className: 'auth-btn-wrapper' },
            h('button', { type: 'submit', className: 'btn modal-btn auth authorize', disabled: busy, 'aria-label': isSignedIn ? 'Logout: end this session' : 'Authorize: sign in' }, isSignedIn ? 'Logout' : 'Authorize'),
            h('button', { type: 'button', className: 'btn modal-btn auth btn-done', onClick: close }, 'Close'))));
    };
  };

  const latchet = (system) => ({
    wrapComponents: { authorizationPopup: () => authorizeDialog(system) },
  });

  const dark = matchMedia('(prefers-color-scheme: dark)');
  const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
  dark.addEventListener('change', paint);
  paint();

  ui = SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#docs',
    plugins: [latchet],
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: -1,
    validatorUrl: null,
    requestInterceptor: withLiveToken,
    onComplete: () => {
      document.getElementById('docs').setAttribute('aria-busy', 'false');
      if (csrf()) renew();
    },
  });
})();
