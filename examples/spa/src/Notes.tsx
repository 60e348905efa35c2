import { AuthError } from 'latchet-client';
import { useEffect, useState, type SubmitEvent } from 'react';
import { explain } from './auth';
import * as api from './notes';
import { ProvePassword } from './ProvePassword';

export const Notes = () => {
  const [notes, setNotes] = useState<api.Note[]>();
  const [fault, setFault] = useState('');
  const [isProving, setProving] = useState(false);

  const tell = (error: unknown) => setFault(explain(error));
  useEffect(() => { api.list().then(setNotes, tell); }, []);

  const add = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const input = event.currentTarget.elements.namedItem('text') as HTMLInputElement;
    const text = input.value;
    setFault('');
    // The user may write the next note while this request is in progress.
    input.value = '';
    api.add(text).then((note) => setNotes((notes = []) => [note, ...notes]), (error) => {
      input.value ||= text;
      tell(error);
    });
  };
  const remove = (id: string) => {
    setFault('');
    api.remove(id).then(() => setNotes((notes) => notes?.filter((note) => note.id !== id)), tell);
  };
  const removeAll = () => {
    setFault('');
    api.removeAll().then(() => setNotes([]), (error) => {
      if (error instanceof AuthError && error.code === 'fresh_token_required') setProving(true);
      else tell(error);
    });
  };

  return (
    <section aria-labelledby="your-notes">
      <h2 id="your-notes">Your notes</h2>
      <form className="row" onSubmit={add}>
        <label htmlFor="text">New note</label>
        <input id="text" name="text" maxLength={2000} required autoComplete="off" />
        <button>Add</button>
      </form>
      <p role="alert">{fault}</p>
      {notes?.length === 0 && <p>None yet.</p>}
      <ul>
        {notes?.map(({ id, text }) => (
          <li key={id}>
            <span>{text}</span>
            <button type="button" aria-label={`Delete “${text}”`} onClick={() => remove(id)}>Delete</button>
          </li>
        ))}
      </ul>
      {!!notes?.length && <button type="button" onClick={removeAll}>Delete all</button>}
      {isProving && <ProvePassword close={() => setProving(false)} done={() => setNotes([])} />}
    </section>
  );
};
