// Makes the first administrator. The secret of the link stands after `#`, which browsers send to
// nobody, and leaves the address bar at once.
'use strict';

(() => {
  const link = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);

  const form = document.getElementById('form');
  const problem = document.getElementById('problem');
  const done = document.getElementById('done');
  const button = form.querySelector('button');

  const explain = async (response) => {
    const { detail } = await response.json().catch(() => ({}));
    return detail || `The server answered ${response.status}.`;
  };

  const submit = async (fields) => {
    if (fields.get('password') !== fields.get('again')) throw new Error('The two passwords differ.');
    const response = await fetch('/v1/setup', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ link, username: fields.get('username'), password: fields.get('password') }),
    });
    if (!response.ok) throw new Error(await explain(response));
  };

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = '';
    try {
      await submit(new FormData(form));
      form.hidden = true;
      document.getElementById('lead').hidden = true;
      done.hidden = false;
      done.focus();
    } catch (error) {
      problem.textContent = error.message;
    }
    button.disabled = false;
  });

  if (!link) {
    form.hidden = true;
    document.getElementById('lead').textContent =
      'Open the whole link that the server printed at its start: it has a secret after #.';
  }
})();
