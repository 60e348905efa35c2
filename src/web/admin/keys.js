// The keys that sign access tokens.
import { runAction, addRow, timeElement, byId, element, cancelLoads, confirmAction, load, relativeTime } from '/pages/pages.js';
import { api } from '/pages/session.js';
import { sendChange } from '/pages/changes.js';

const section = byId('keys');
const table = section.querySelector('table');

const show = ({ items }) => {
  table.tBodies[0].replaceChildren();
  for (const key of items) {
    addRow(table, [
      element('code', {}, key.kid),
      key.algorithm,
      element('span', { className: 'badge' }, key.state),
      relativeTime(key.created_at),
      timeElement(key.signs_from),
      key.signs_until ? timeElement(key.signs_until) : [],
    ]);
  }
};

const open = () => load(section, () => api('GET', '/v1/keys'), show);

const close = () => {
  cancelLoads(section);
  table.tBodies[0].replaceChildren();
};

/** The section of the signing keys. */
export const keys = { open, close };

const rotate = async (atOnce, consequence) => {
  if (!await confirmAction('Rotate the signing key?', consequence, 'Rotate')) return;
  await runAction(async () => {
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
