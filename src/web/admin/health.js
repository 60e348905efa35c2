// Health of the server and its dependencies.
import { byId, element, cancelLoads, load } from '/pages/pages.js';

const EVERY_MS = 10_000;
const section = byId('health');

const WORDS = {
  database: { ok: 'Responding', failing: 'Not responding' },
  denylist: {
    ok: 'Responding',
    degraded: 'Unreliable: the database is queried instead',
    failing: 'Not responding: no token is accepted',
  },
  clock: { ok: 'Agrees with the database', failing: 'Differs too much from the database: correct the clocks' },
  serving: { ok: 'Accepting requests', failing: 'Stopping' },
};

let timer;

// A server that is not ready responds with 503 and the same body.
const get = () => fetch('/readyz', { signal: AbortSignal.timeout(EVERY_MS) })
  .then((response) => response.json())
  .catch(() => null);

const show = (health) => {
  section.querySelector('.notice').textContent = health ? '' : 'The server cannot be reached.';
  for (const [part, words] of Object.entries(WORDS)) {
    const state = health?.[part] ?? '';
    const place = byId(`health-${part}`);
    const text = words[state] ?? 'Unknown';
    // Unchanged texts stay, so that screen readers do not repeat them.
    if (place.textContent !== text) place.replaceChildren(element('span', { className: state }, text));
  }
  const now = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' }).format(new Date());
  byId('health-at').textContent = now;
  timer = setTimeout(open, EVERY_MS);
};

const close = () => {
  clearTimeout(timer);
  cancelLoads(section);
};

const open = () => {
  clearTimeout(timer);
  return load(section, get, show);
};

/** The health section. */
export const health = { open, close };
