import { SignedIn, SignedOut, useAuth } from 'latchet-client/react';
import { useState } from 'react';
import { auth, explain } from './auth';
import { Devices } from './Devices';
import { Notes } from './Notes';
import { SignIn } from './SignIn';

export const App = () => (
  <>
    <Waiting />
    <SignedIn><Home /></SignedIn>
    <SignedOut><SignIn /></SignedOut>
  </>
);

/** Shown until it is known who is signed in. */
const Waiting = () => {
  const state = useAuth();
  if (state.status !== 'unknown') return null;
  return <p role="status">{state.error ? explain(state.error) : 'Asking who is signed in …'}</p>;
};

const Home = () => {
  const { user } = useAuth();
  const [fault, setFault] = useState('');
  const signOut = (everywhere: boolean) =>
    auth.logout({ everywhere }).catch((error) => setFault(`You are still signed in. ${explain(error)}`));

  return (
    <>
      <header>
        <h1>Notes <small>of {user?.username}</small></h1>
        <button type="button" onClick={() => signOut(false)}>Sign out</button>
        <button type="button" onClick={() => signOut(true)}>Sign out everywhere</button>
      </header>
      <p role="alert">{fault}</p>
      <main>
        <Notes />
        <Devices />
      </main>
    </>
  );
};
