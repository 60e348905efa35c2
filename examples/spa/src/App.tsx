import { useState } from 'react';
import { auth, explain, useAuth } from './auth';
import { Devices } from './Devices';
import { Notes } from './Notes';
import { SignIn } from './SignIn';

export const App = () => {
  const state = useAuth();
  if (state.status === 'unknown') return <p role="status">Asking who is signed in …</p>;
  if (state.status === 'signed-out') return <SignIn reason={state.reason} />;
  // A new session starts with new components: the next user must not see data of the previous one.
  return <Home key={state.sessionId} />;
};

const Home = () => {
  const [fault, setFault] = useState('');
  const signOut = (everywhere: boolean) =>
    auth.logout({ everywhere }).catch((error) => setFault(`You are still signed in. ${explain(error)}`));

  return (
    <>
      <header>
        <h1>Notes</h1>
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
