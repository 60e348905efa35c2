'use client';

import { useEffect, useState } from 'react';
import { auth, SignedIn, SignedOut, useAuth } from './auth';

/** Private data: loaded by the browser, with the token of the user. */
const List = () => {
  const [things, setThings] = useState([]);
  const [fault, setFault] = useState('');
  useEffect(() => {
    auth.json('/api/things').then(setThings, (error) => setFault(error.detail));
  }, []);
  return fault ? <p role="alert">{fault}</p> : <ul>{things.map((thing) => <li key={thing}>{thing}</li>)}</ul>;
};

const SignIn = () => {
  const [fault, setFault] = useState('');
  const submit = (event) => {
    event.preventDefault();
    const { username, password } = Object.fromEntries(new FormData(event.currentTarget));
    auth.login({ username, password }).catch((error) => setFault(error.detail));
  };
  return (
    <form onSubmit={submit}>
      <input name="username" aria-label="User name" autoComplete="username" required />
      <input name="password" aria-label="Password" type="password" autoComplete="current-password" required />
      <button>Sign in</button>
      <p role="alert">{fault}</p>
    </form>
  );
};

export const Things = () => (
  <>
    {useAuth().status === 'unknown' && <p role="status">Loading …</p>}
    <SignedIn><List /></SignedIn>
    <SignedOut><SignIn /></SignedOut>
  </>
);
