// What the server offers to people who are not signed in.
import { sendRequest } from '/pages/pages.js';

/** Resolves to `{ registration, mail }`; without a response, to neither: the forms then show the server's reason. */
export const signInOptions = sendRequest(fetch, 'GET', '/v1/sign-in-options').catch(() => ({}));
