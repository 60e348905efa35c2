// Whether the server can do what it is for.
import { byId, element, forget, load } from '/pages/pages.js';

const EVERY_MS = 10_000;
const section = byId('health');

const WORDS = {
  database: { ok: 'Answers', failing: 'Does not answer' },
  denylist: {
    ok: 'Answers',
    degraded: 'Not to be relied on now: the database is asked instead',
    failing: 'Cannot be asked: no token is accepted',
  },
  clock: { ok: 'Agrees with the database', failing: 'Too far from the database: set both clocks' },
  serving: { ok: 'Takes requests', failing: 'Is about to stop' },
};

let timer;

// The answer of a server that is not ready is an answer too.
const get = () => fetch('/readyz', { signal: AbortSignal.timeout(EVERY_MS) })
  .then((response) => response.json())
  .catch(() => null);

const show = (health) => {
  section.querySelector('.notice').textContent = health ? '' : 'The server cannot be reached.';
  for (const [part, words] of Object.entries(WORDS)) {
    const state = health?.[part] ?? '';
    const place = byId(`health-${part}`);
    const text = words[state] ?? 'Not known';
    // Told anew only when it has changed.
    if (place.textContent !== text) place.replaceChildren(element('span', { className: state }, text));
  }
  const now = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' }).format(new Date());
  byId('health-at').textContent = now;
  timer = setTimeout(open, EVERY_MS);
};

const close = () => {
  clearTimeout(timer);
  forget(section);
};

const open = () => {
  clearTimeout(timer);
  return load(section, get, show);
};

/** The health of what the server depends on. */
export const health = { open, close };
