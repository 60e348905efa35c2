import { useAuth } from 'latchet-client/react';
import { useState, type SubmitEvent } from 'react';
import { auth, explain } from './auth';

export const SignIn = () => {
  const state = useAuth();
  const reason = state.status === 'signed-out' && state.reason;
  // A user who signed out, here or in another tab, needs no message.
  const ended = reason && reason !== 'logout' ? 'Your session has ended. Please sign in again.' : '';
  const [fault, setFault] = useState(ended);
  const [isBusy, setBusy] = useState(false);

  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const field = (name: string) => String(fields.get(name));
    setFault('');
    setBusy(true);
    auth.login({ username: field('username'), password: field('password') })
      .catch((error) => setFault(explain(error)))
      .finally(() => setBusy(false));
  };

  return (
    <main>
      <h1>Notes</h1>
      <form className="column" onSubmit={submit}>
        <label htmlFor="username">User name</label>
        <input id="username" name="username" autoComplete="username" autoCapitalize="none" required autoFocus />
        <label htmlFor="password">Password</label>
        <input id="password" name="password" type="password" autoComplete="current-password" required />
        <button disabled={isBusy}>Sign in</button>
        <p role="alert">{fault}</p>
      </form>
    </main>
  );
};
