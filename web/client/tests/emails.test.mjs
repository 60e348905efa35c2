// E-mail addresses: their proof by mails, and the addresses of an account.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEmails } from '../dist/emails.js';
import { createAuth } from '../dist/latchet.js';
import { APP, World, problem, signedIn } from './world.mjs';

const MAIL = { request: 'secret', expires_in: 3600 };

const bodyOf = ({ body }) => JSON.parse(body);

test('an address is verified by the link or the code of a mail, without a session', async () => {
  const world = new World();
  const { verifyEmail } = createEmails(world.tab().auth());

  await verifyEmail({ link: 'right' });
  await verifyEmail({ request: 'secret', code: '123456' });
  await assert.rejects(verifyEmail({ link: 'wrong' }), { name: 'AuthError', code: 'invalid_code', status: 400 });

  const sent = world.asked('/v1/email/verify');
  assert.deepEqual(sent.map(bodyOf), [{ link: 'right' }, { request: 'secret', code: '123456' }, { link: 'wrong' }]);
  assert.deepEqual(sent.map(({ method, token }) => [method, token]), Array(3).fill(['POST', null]));
});

test('a forgotten password is reset by the mail that was asked for', async () => {
  const world = new World();
  const auth = world.tab().auth();

  const mail = await createEmails(auth).forgotPassword('alice@example.org');
  await auth.resetPassword({ request: mail.request, code: '123456', password: 'new' });

  assert.deepEqual(mail, MAIL);
  assert.deepEqual(bodyOf(world.asked('/v1/password/forgot')[0]), { email: 'alice@example.org' });
});

test('the addresses of the account are listed', async () => {
  const { world, auth } = await signedIn();

  assert.deepEqual(await createEmails(auth).emails(), world.server.emails);
  assert.equal(world.log.at(-1).token, await auth.token());
});

test('an address is added, made primary and removed', async () => {
  const { world, auth } = await signedIn();
  const { addEmail, makeEmailPrimary, removeEmail } = createEmails(auth);

  assert.deepEqual(await addEmail('a@example.org'), MAIL);
  assert.deepEqual(bodyOf(world.log.at(-1)), { email: 'a@example.org' });
  assert.equal(await makeEmailPrimary('e2'), undefined);
  assert.equal(await removeEmail('../e2'), undefined);

  assert.deepEqual(world.log.slice(-3).map(({ method, url }) => [method, url]), [
    ['POST', `${APP}/v1/me/emails`],
    ['POST', `${APP}/v1/me/emails/e2/primary`],
    ['DELETE', `${APP}/v1/me/emails/..%2Fe2`],
  ]);
});

test('a change requires a fresh token, and works after a re-authentication', async () => {
  const { world, auth } = await signedIn();
  const { addEmail, makeEmailPrimary, removeEmail } = createEmails(auth);
  world.server.isFresh = false;

  for (const change of [() => addEmail('a@example.org'), () => makeEmailPrimary('e1'), () => removeEmail('e1')]) {
    await assert.rejects(change(), { code: 'fresh_token_required', status: 401 });
  }
  assert.equal(auth.state().status, 'signed-in');

  await auth.reauthenticate('right');
  assert.deepEqual(await addEmail('a@example.org'), MAIL);
});

test('a server without mail is reported', async () => {
  const world = new World();
  const { forgotPassword } = createEmails(world.tab().auth());
  world.once('/v1/password/forgot', () => problem(404, 'not_found'));

  await assert.rejects(forgotPassword('alice@example.org'), { code: 'not_found', status: 404 });
});

test('without a browser nothing is sent', async () => {
  const emails = createEmails(createAuth({ baseUrl: '/' }, {}));

  for (const attempt of [
    emails.verifyEmail({ link: 'right' }), emails.forgotPassword('a@example.org'), emails.emails(),
    emails.addEmail('a@example.org'), emails.removeEmail('e1'), emails.makeEmailPrimary('e1'),
  ]) await assert.rejects(attempt, { code: 'inert' });
});
