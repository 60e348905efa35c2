import type { Session } from 'latchet-client';
import { useEffect, useState } from 'react';
import { auth, explain } from './auth';

const time = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export const Devices = () => {
  const [sessions, setSessions] = useState<Session[]>();
  const [fault, setFault] = useState('');

  const tell = (error: unknown) => setFault(explain(error));
  useEffect(() => { auth.sessions().then(setSessions, tell); }, []);

  const end = (id: string) => {
    setFault('');
    auth.revoke(id).then(() => setSessions((sessions) => sessions?.filter((session) => session.id !== id)), tell);
  };

  return (
    <section aria-labelledby="your-devices">
      <h2 id="your-devices">Where you are signed in</h2>
      <p role="alert">{fault}</p>
      <ul>
        {sessions?.map(({ id, current, user_agent, ip, refreshed_at }) => (
          <li key={id}>
            <span id={id}>
              {current ? <strong>This browser</strong> : user_agent || 'A program'}
              <small>{ip}, last seen {time.format(new Date(refreshed_at))}</small>
            </span>
            {!current && <button type="button" aria-describedby={id} onClick={() => end(id)}>Sign it out</button>}
          </li>
        ))}
      </ul>
    </section>
  );
};
