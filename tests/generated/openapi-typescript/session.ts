// A session through types that openapi-typescript has made: login, profile, refresh, logout.
import createClient from 'openapi-fetch';
import type { paths } from './latchet';

declare const process: { argv: string[] };

const [, , baseUrl, username, password] = process.argv as [string, string, string, string, string];
const client = createClient<paths>({ baseUrl });
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const expect = (isRight: boolean, what: unknown) => {
  if (!isRight) throw new Error(JSON.stringify(what));
};

const { data: tokens, error } = await client.POST('/v1/login', { body: { username, password } });
if (!tokens) throw new Error(JSON.stringify(error));
const me = await client.GET('/v1/me', { headers: bearer(tokens.access_token) });
expect(me.data?.user.username === username, me.error);

const presented = { body: { refresh_token: tokens.refresh_token ?? '' } };
const { data: refreshed, error: refused } = await client.POST('/v1/refresh', presented);
if (!refreshed) throw new Error(JSON.stringify(refused));
expect(refreshed.session_id === tokens.session_id, refreshed);
expect(refreshed.refresh_token !== tokens.refresh_token, refreshed);
const retried = await client.POST('/v1/refresh', presented);
expect(retried.data?.refresh_token === refreshed.refresh_token, retried.error);

const ended = await client.POST('/v1/logout', { headers: bearer(refreshed.access_token), body: {} });
expect(ended.response.status === 204, ended.error);
const after = await client.GET('/v1/me', { headers: bearer(refreshed.access_token) });
expect(after.response.status === 401 && after.error?.code === 'token_revoked', after.error);
