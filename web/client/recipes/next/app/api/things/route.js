// A route of the server: it checks the token that the caller sent. It has no token of its own and refreshes none.

const { LATCHET = 'http://127.0.0.1:8080' } = process.env;

const problem = (status, code, title, headers) => Response.json(
  { type: 'about:blank', title, status, code, detail: title },
  { status, headers: { 'Content-Type': 'application/problem+json', ...headers } },
);

/** Returns the claims of the caller, or the response that refuses the request. */
const verify = async (request) => {
  const headers = { Accept: 'application/json' };
  const token = request.headers.get('Authorization');
  if (token) headers.Authorization = token;
  const unavailable = problem(503, 'unavailable', 'the server of the accounts is away', { 'Retry-After': '1' });
  const answer = await fetch(`${LATCHET}/v1/verify`, { headers, cache: 'no-store', signal: AbortSignal.timeout(3000) })
    .catch(() => null);
  if (!answer || answer.status >= 500) return unavailable;
  // Refused, with the code and the challenge that the client understands.
  if (!answer.ok) return new Response(answer.body, { status: answer.status, headers: answer.headers });
  return answer.json();
};

export const GET = async (request) => {
  const claims = await verify(request);
  if (claims instanceof Response) return claims;
  return Response.json([`a thing of ${claims.preferred_username}`]);
};
