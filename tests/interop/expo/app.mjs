// One process of an app with the client of the recipe. It does what $DO says and prints its state, or dies as
// $DIE says.
import { auth } from '../../../web/client/recipes/expo/auth.ts';

const { DO, DIE, NAME, PASSWORD, URL: base } = process.env;

const { fetch } = globalThis;
globalThis.fetch = async (request) => {
  const isRefresh = request.url.endsWith('/v1/refresh');
  if (isRefresh && DIE === 'before the request') process.exit(9);
  const answer = await fetch(request);
  if (isRefresh && DIE === 'before the response') process.exit(9);
  return answer;
};

if (DO === 'login') await auth.login({ username: NAME, password: PASSWORD, label: 'phone' });
if (DO === 'logout') await auth.logout();
await auth.token();
const me = await auth.json(`${base}/v1/me`).catch((error) => error);
console.log(JSON.stringify({ ...auth.state(), me: me.user?.username ?? me.code }));
// The timeouts of requests would keep the process alive.
process.exit(0);
