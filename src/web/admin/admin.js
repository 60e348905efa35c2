// Administration: one section at a time, selected by the URL fragment.
import { byId, showStatus } from '/pages/pages.js';
import { startPage } from '/pages/session.js';
import { events } from './events.js';
import { health } from './health.js';
import { keys } from './keys.js';
import { links } from './links.js';
import { sessions } from './sessions.js';
import * as user from './user.js';
import { users } from './users.js';

const SECTIONS = { users, user, sessions, links, keys, events, health };
const tabs = [...document.querySelectorAll('.tabs a')];

/** Name of the open section; empty while no administrator is signed in. */
let current = '';
let mayAdminister = false;

const leave = () => {
  if (current) SECTIONS[current].close();
  current = '';
};

const show = () => {
  const [tab, id] = location.hash.slice(1).split('/');
  const wanted = tab === 'users' && id ? 'user' : tab || 'users';
  // Other fragments, such as that of the skip link, select no section.
  if (!mayAdminister || !Object.hasOwn(SECTIONS, wanted)) return false;
  leave();
  current = wanted;
  for (const name of Object.keys(SECTIONS)) byId(name).hidden = name !== wanted;
  for (const link of tabs) {
    if (link.hash === `#${tab || 'users'}`) link.ariaCurrent = 'page';
    else link.removeAttribute('aria-current');
  }
  SECTIONS[wanted].open(id);
  return true;
};

addEventListener('hashchange', () => {
  if (!show()) return;
  showStatus('');
  byId(`${current}-title`).focus();
});

startPage(({ roles }) => {
  mayAdminister = roles.includes('admin');
  byId('administration').hidden = !mayAdminister;
  byId('stranger').hidden = mayAdminister;
  if (!show() && mayAdminister) location.hash = '#users';
}, () => {
  leave();
  mayAdminister = false;
});
