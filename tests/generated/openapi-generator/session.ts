// A session through a client that openapi-generator has made for `fetch`: login, profile, refresh, logout.
import { AccountApi, Configuration, ProblemFromJSON, ResponseError, SessionsApi } from './latchet';

declare const process: { argv: string[] };

const [, , basePath, username, password] = process.argv as [string, string, string, string, string];
const client = (accessToken?: string) => new Configuration({ basePath, ...(accessToken && { accessToken }) });
const expect = (isRight: boolean, what: unknown) => {
  if (!isRight) throw new Error(JSON.stringify(what));
};

const sessions = new SessionsApi(client());
const tokens = await sessions.login({ loginRequest: { username, password } });
const me = await new AccountApi(client(tokens.accessToken)).me();
expect(me.user.username === username && me.sessionId === tokens.sessionId, me);

const presented = { refreshTokenRequest: { refreshToken: tokens.refreshToken ?? '' } };
const refreshed = await sessions.refreshSession(presented);
expect(refreshed.sessionId === tokens.sessionId && refreshed.refreshToken !== tokens.refreshToken, refreshed);
const retried = await sessions.refreshSession(presented);
expect(retried.refreshToken === refreshed.refreshToken, retried);

await new SessionsApi(client(refreshed.accessToken)).logout();
const refusal = await new AccountApi(client(refreshed.accessToken)).me().catch((error: unknown) => error);
if (!(refusal instanceof ResponseError)) throw new Error(`the session has not ended: ${String(refusal)}`);
const problem = ProblemFromJSON(await refusal.response.json());
expect(refusal.response.status === 401 && problem.code === 'token_revoked', problem);
