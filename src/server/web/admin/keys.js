// The keys that sign access tokens.
import { act, addRow, at, byId, element, forget, isSure, load, since } from '/pages/pages.js';
import { api } from '/pages/session.js';
import { sendChange } from './changes.js';

const section = byId('keys');
const table = section.querySelector('table');

const show = ({ items }) => {
  table.tBodies[0].replaceChildren();
  for (const key of items) {
    addRow(table, [
      element('code', {}, key.kid),
      key.algorithm,
      element('span', { className: 'badge' }, key.state),
      since(key.created_at),
      at(key.signs_from),
      key.signs_until ? at(key.signs_until) : [],
    ]);
  }
};

const open = () => load(section, () => api('GET', '/v1/keys'), show);

const close = () => {
  forget(section);
  table.tBodies[0].replaceChildren();
};

/** The section of the signing keys. */
export const keys = { open, close };

const rotate = async (atOnce, consequence) => {
  if (!await isSure('Rotate the signing key?', consequence, 'Rotate')) return;
  await act(async () => {
    await sendChange('POST', '/v1/keys/rotate', { at_once: atOnce });
    return 'The new key is created.';
  });
  await open();
  byId('keys-title').focus();
};

byId('rotate').addEventListener('click', () =>
  rotate(false, 'The new key signs once every service can know it. Tokens of the old key stay valid.'));
byId('rotate-now').addEventListener('click', () =>
  rotate(true, 'Use this for a leaked key. Services with a cached key list refuse new tokens until they load it again.'));
