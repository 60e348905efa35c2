// /admin as an administrator uses it: users, their roles and links, sessions, keys, events, health.
import assert from 'node:assert/strict';
import { HOSTILE, NAME, PASSWORD, base, confirm, finish, focused, focuses, look, open, program, rows, says, signIn } from './page_kit.mjs';

const ADA = 'a long password of ada';
const context = await open({ permissions: ['clipboard-read', 'clipboard-write'] });
const page = await context.newPage();
const tab = (name) => page.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name }).click();
const { call } = await program(NAME, PASSWORD);
await call('POST', '/v1/users', { username: HOSTILE, password: PASSWORD });
await program(HOSTILE, PASSWORD, HOSTILE, HOSTILE);

await page.goto(`${base}/admin`);
await page.locator('#sign-in').waitFor();
await look(page, 'admin-signed-out');
await signIn(page, HOSTILE);
await page.getByText('This page is for administrators').waitFor();
assert.equal(await page.locator('#administration').isVisible(), false);
await look(page, 'admin-stranger');
await page.getByRole('link', { name: 'Go to your account' }).click();
await page.locator('#me-username').filter({ hasText: HOSTILE }).waitFor();
await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
await page.locator('#sign-in').waitFor();
await page.goto(`${base}/admin`);
await signIn(page);
await focuses(page, 'title');

// Add one, by the keyboard.
await rows(page, 'users', 2);
await page.getByRole('button', { name: 'Add a user' }).focus();
await page.keyboard.press('Enter');
await focuses(page, 'add-username');
await look(page, 'admin-add');
await page.keyboard.press('Escape');
await focuses(page, 'add');
await page.keyboard.press('Enter');
await page.keyboard.type(NAME);
await page.keyboard.press('Tab');
await page.keyboard.type(ADA);
await page.keyboard.press('Enter');
await page.locator('#add-username-error').filter({ hasText: 'This user name is taken.' }).waitFor();
assert.equal(await focused(page), 'add-username');
await page.keyboard.press('ControlOrMeta+a');
await page.keyboard.type('ada');
await page.getByLabel('Roles').last().fill('Not A Role');
await page.keyboard.press('Enter');
await page.locator('#add-roles-error').filter({ hasText: 'each role must have 1 to 64 characters' }).waitFor();
await look(page, 'admin-add-wrong');
await page.keyboard.press('ControlOrMeta+a');
await page.keyboard.type('editor, notes:write');
await page.keyboard.press('Enter');
await says(page, 'ada is added.');
await focuses(page, 'add');
const made = await rows(page, 'users', 3);
assert.ok(made.some((row) => /ada\s[^]*editor[^]*notes:write[^]*Enabled/.test(row)), made.join('\n'));
assert.ok(made.some((row) => row.startsWith(HOSTILE)), 'a hostile name is shown as it is');
await look(page, 'admin-users');

const search = page.getByRole('search', { name: 'Users' });
await search.getByRole('searchbox').fill('AD');
await page.keyboard.press('Enter');
await rows(page, 'users', 1);
await search.getByRole('searchbox').fill('nobody');
await search.getByRole('button').click();
await page.getByText('No users found.').waitFor();
await look(page, 'admin-users-none');
await search.getByRole('searchbox').fill('');
await page.keyboard.press('Enter');
await rows(page, 'users', 3);

// One user.
const ada = await program('ada', ADA, 'Phone');
await page.getByRole('link', { name: 'ada', exact: true }).click();
await focuses(page, 'user-title');
await rows(page, 'user-sessions', 1);
assert.equal(await page.locator('#user-title').innerText(), 'ada');
await look(page, 'admin-user');
const roles = page.locator('#user-roles');
await roles.fill('editor');
await page.getByRole('button', { name: 'Save the roles' }).click();
await says(page, 'The roles of ada are saved.');
assert.deepEqual((await call('GET', '/v1/users?search=ada'))[1].items[0].roles, ['editor']);
assert.equal((await ada.call('GET', '/v1/me'))[1].code, 'token_outdated');

await page.getByRole('row', { name: 'Phone' }).getByRole('button', { name: 'End' }).click();
await confirm(page, 'End the session on Phone (program/1.0)?');
await says(page, 'The session on Phone (program/1.0) is ended.');
assert.equal((await ada.call('GET', '/v1/me'))[0], 401);
await page.getByText('No sessions.').waitFor();
const two = [await program('ada', ADA), await program('ada', ADA)];
await page.reload();
await rows(page, 'user-sessions', 2);
await page.getByRole('button', { name: 'End all sessions' }).click();
await confirm(page, 'End all sessions of ada?');
await says(page, 'All sessions of ada are ended.');
for (const device of two) assert.equal((await device.call('GET', '/v1/me'))[0], 401);

// The link works for somebody else, in a browser of his own.
// A page that was loaded again has no fresh token: the server wants the password, and then goes on.
const proof = page.getByRole('dialog', { name: 'Confirm with your password' });
await page.getByRole('button', { name: 'Create a reset link' }).focus();
await page.keyboard.press('Enter');
await proof.waitFor();
await focuses(page, 'prove-password');
await look(page, 'admin-prove');
await page.keyboard.type('not the password, though long');
await page.keyboard.press('Enter');
await page.locator('#prove-password-error').filter({ hasText: 'The user name or the password is wrong.' }).waitFor();
assert.equal(await focused(page), 'prove-password');
await look(page, 'admin-prove-wrong');
await page.keyboard.press('Escape');
await proof.waitFor({ state: 'hidden' });
await page.locator('#status.bad').filter({ hasText: 'Nothing was changed.' }).waitFor();
await focuses(page, 'reset-link');
assert.equal(await page.locator('#link').isVisible(), false);
await page.keyboard.press('Enter');
await proof.waitFor();
assert.equal(await page.locator('#prove-password').inputValue(), '');
await page.keyboard.type(PASSWORD);
await page.keyboard.press('Enter');
await focuses(page, 'link');
await proof.waitFor({ state: 'hidden' });
await look(page, 'admin-reset-link');
await page.getByRole('button', { name: 'Copy the link' }).click();
await says(page, 'The link is copied.');
const link = await page.evaluate(() => navigator.clipboard.readText());
assert.equal(link, await page.locator('#link').inputValue());
const hers = await (await open()).newPage();
await hers.goto(`${base}/reset${new URL(link).hash}`);
const password = hers.getByLabel('New password', { exact: true });
await password.waitFor();
assert.equal(hers.url(), `${base}/reset`, 'the secret leaves the address');
await hers.waitForFunction(() => document.querySelector('#reset [autocomplete=username]').value === 'ada');
await look(hers, 'reset');
await password.fill('short');
await hers.keyboard.press('Enter');
await hers.locator('#password-error').filter({ hasText: 'is shorter than' }).waitFor();
await look(hers, 'reset-weak-password');
await password.fill('another long password of ada');
await hers.keyboard.press('Enter');
await focuses(hers, 'done');
await look(hers, 'reset-done');
await hers.getByRole('link', { name: 'Sign in with it' }).click();
await hers.locator('#sign-in').waitFor();
await signIn(hers, 'ada', 'another long password of ada');
await hers.locator('#me-username').filter({ hasText: 'ada' }).waitFor();
assert.equal(await hers.getByRole('link', { name: 'Admin' }).isVisible(), false);
await hers.goto(link.replace(/^.*(?=\/reset)/, base));
await password.fill('a third long password of ada');
await hers.keyboard.press('Enter');
await hers.locator('.problem').filter({ hasText: 'This link is wrong' }).waitFor();
await hers.goto(`${base}/account`);
await hers.locator('#devices tbody tr').waitFor();

await page.getByRole('button', { name: 'Disable' }).click();
await confirm(page, 'Disable ada?');
await says(page, 'ada is disabled.');
await page.locator('#user-state').filter({ hasText: 'Disabled' }).waitFor();
assert.equal(await page.locator('#link').inputValue(), '');
assert.equal((await program('ada', 'another long password of ada')).status, 401);
await look(page, 'admin-user-disabled');
await hers.reload();
await hers.locator('#sign-in').waitFor();
await page.getByRole('button', { name: 'Enable' }).click();
await says(page, 'ada can sign in again.');
assert.equal((await program('ada', 'another long password of ada')).status, 200);

// Nobody locks himself out.
await tab('Users');
await page.getByRole('link', { name: NAME }).click();
await focuses(page, 'user-title');
await page.locator('#user-shown').waitFor();
await page.getByRole('button', { name: 'Disable' }).click();
await confirm(page, `Disable ${NAME}?`);
await page.locator('#status.bad').waitFor();
await roles.fill('');
await page.getByRole('button', { name: 'Save the roles' }).click();
await page.waitForFunction(() => document.querySelector('#user-roles-error').textContent);
assert.equal((await call('GET', '/v1/me'))[0], 200);

// Sessions of all.
await tab('Sessions');
await focuses(page, 'sessions-title');
const live = await rows(page, 'sessions', 4);
assert.ok(live.some((row) => row.startsWith(HOSTILE) && row.includes(`${HOSTILE} (${HOSTILE})`)), live.join('\n'));
await look(page, 'admin-sessions');
const bySessions = page.getByRole('search', { name: 'Sessions' });
await bySessions.getByRole('searchbox').fill('<IMG');
await page.keyboard.press('Enter');
await rows(page, 'sessions', 1);
await page.getByRole('button', { name: 'End' }).click();
await confirm(page, `End this session of ${HOSTILE}?`);
await says(page, `The session of ${HOSTILE} is ended.`);
await page.getByText('No sessions found.').waitFor();

// Links that are open, one of them withdrawn.
await tab('Links');
await focuses(page, 'links-title');
await page.getByText('No unused links.').waitFor();
await look(page, 'admin-links-none');
const [, found] = await call('GET', '/v1/users?search=ada');
const [, withdrawn] = await call('POST', `/v1/users/${found.items[0].id}/reset-link`);
await tab('Sessions');
await tab('Links');
const [shown] = await rows(page, 'links', 1);
assert.ok(shown.startsWith('ada') && shown.includes(NAME), shown);
await look(page, 'admin-links');
await page.getByRole('button', { name: 'Withdraw' }).focus();
await page.keyboard.press('Enter');
await confirm(page, 'Withdraw the link for ada?');
await says(page, 'The link for ada is withdrawn.');
await page.getByText('No unused links.').waitFor();
await focuses(page, 'links-title');
const secret = new URL(withdrawn.link).hash.slice(1);
assert.equal((await call('POST', '/v1/password/reset', { link: secret, password: ADA }))[0], 404);

// Keys: the page lives on with the new one.
await tab('Keys');
await rows(page, 'keys', 1);
await page.getByRole('button', { name: 'Rotate', exact: true }).click();
await confirm(page, 'Rotate the signing key?');
await says(page, 'The new key is created.');
const keys = await rows(page, 'keys', 2);
assert.deepEqual(keys.map((row) => row.match(/active|next/)?.[0]).sort(), ['active', 'next']);
await look(page, 'admin-keys');
await page.getByRole('button', { name: 'Rotate at once' }).click();
await confirm(page, 'Rotate the signing key?');
await says(page, 'The new key is created.');
await page.waitForFunction(() => /active/.test(document.querySelector('#keys tbody tr')?.textContent));

// Busy at first: the page says so, and retries.
let isBusy = true;
await context.route('**/v1/events?*', (route) => {
  const problem = { status: 503, code: 'unavailable', detail: 'the server cannot answer this now: try again' };
  if (!isBusy) return route.continue();
  return route.fulfill({ status: 503, headers: { 'Retry-After': '1' }, contentType: 'application/problem+json', body: JSON.stringify(problem) });
});
await tab('Events');
await focuses(page, 'events-title');
await page.locator('#events .notice').filter({ hasText: 'The server is temporarily unavailable. Trying again …' }).waitFor();
isBusy = false;
await page.locator('#events tbody tr').first().waitFor();
assert.equal(await page.locator('#events .notice').innerText(), '');
const events = (await page.locator('#events tbody tr').allInnerTexts()).join('\n');
for (const what of ['Signing key rotated', 'User disabled', 'Password reset', 'Reset link created', 'Reset link withdrawn', 'Roles changed', 'User added']) {
  assert.ok(events.includes(what), `${what}: ${events}`);
}
await look(page, 'admin-events');

let health;
await context.route('**/readyz', (route) => (health ? route.fulfill({ status: 503, json: health }) : route.continue()));
await tab('Health');
await focuses(page, 'health-title');
await page.locator('#health-database').filter({ hasText: 'Responding' }).waitFor();
assert.equal(await page.locator('#health-clock').innerText(), 'Agrees with the database');
assert.equal(await page.locator('#health-serving').innerText(), 'Accepting requests');
await look(page, 'admin-health');
health = { status: 'failing', database: 'failing', denylist: 'degraded', clock: 'failing', serving: 'ok' };
await tab('Users');
await tab('Health');
await page.locator('#health-database').filter({ hasText: 'Not responding' }).waitFor();
assert.match(await page.locator('#health-denylist').innerText(), /the database is queried instead/);
assert.match(await page.locator('#health-clock').innerText(), /correct the clocks/);
await look(page, 'admin-health-failing');

// The server is away: a list says so, and comes by itself when it is back.
await context.setOffline(true);
await tab('Users');
await page.locator('#users .notice').filter({ hasText: 'The server cannot be reached. Trying again …' }).waitFor();
await look(page, 'admin-unreachable');
await context.setOffline(false);
await rows(page, 'users', 3);
assert.equal(await page.locator('#users .notice').innerText(), '');

// The address names the section, and the way back leads through them.
await page.goBack();
await focuses(page, 'health-title');
await page.goto(`${base}/admin#no-such-section`);
assert.ok(await page.locator('#health').isVisible(), 'an address of nothing leads nowhere');
await page.reload();
await rows(page, 'users', 3);

// The password is asked for above a dialog that is open, which goes on with what was typed.
await page.getByRole('button', { name: 'Add a user' }).click();
await page.locator('#add-username').fill('ada');
await page.locator('#add-password').fill(ADA);
await page.keyboard.press('Enter');
await proof.getByLabel('Your password').fill(PASSWORD);
await look(page, 'admin-prove-above');
await proof.getByRole('button', { name: 'Continue' }).click();
await page.locator('#add-username-error').filter({ hasText: 'This user name is taken.' }).waitFor();
assert.equal(await focused(page), 'add-username');
await page.keyboard.press('Escape');

// More than one page of them. The old token ended with its key.
const client = await program(NAME, PASSWORD);
await Promise.all(Array.from({ length: 50 }, (_, index) =>
  client.call('POST', '/v1/users', { username: `many-${index + 10}`, password: PASSWORD })));
await page.getByRole('search', { name: 'Users' }).getByRole('button').click();
await rows(page, 'users', 50);
await page.getByRole('button', { name: 'Show more' }).focus();
await page.keyboard.press('Enter');
const all = await rows(page, 'users', 53);
await focuses(page, all[50].split('\t')[0]);
assert.equal(await page.getByRole('button', { name: 'Show more' }).isVisible(), false);

await page.getByRole('button', { name: 'Sign out' }).click();
await page.locator('#sign-in').waitFor();
assert.equal(await page.locator('tbody tr').count(), 0, 'nothing of the people is left');
await finish('the administration keeps its promises');
