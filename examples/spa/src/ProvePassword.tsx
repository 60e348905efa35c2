import { useEffect, useRef, useState, type SubmitEvent } from 'react';
import { explain } from './auth';
import { removeAllWith } from './notes';

/** Prompts for the password again: the service deletes all notes only with a fresh token. */
export const ProvePassword = ({ close, done }: { close: () => void; done: () => void }) => {
  const dialog = useRef<HTMLDialogElement>(null);
  const [fault, setFault] = useState('');
  useEffect(() => { dialog.current?.showModal(); }, []);

  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const password = String(new FormData(event.currentTarget).get('password'));
    setFault('');
    removeAllWith(password).then(() => { done(); close(); }, (error) => setFault(explain(error)));
  };

  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="prove">
      <h2 id="prove">Delete all notes</h2>
      <form className="column" onSubmit={submit}>
        <label htmlFor="again">Your password</label>
        <input id="again" name="password" type="password" autoComplete="current-password" required />
        <p role="alert">{fault}</p>
        <div className="row">
          <button>Delete all notes</button>
          <button type="button" onClick={close}>Keep them</button>
        </div>
      </form>
    </dialog>
  );
};
