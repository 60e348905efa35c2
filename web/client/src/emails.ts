// E-mail addresses of users, for pages and apps alike: proof by a mail, and the addresses of an account.

import type { Auth, MailChallenge, MailProof } from './api.js';

export type { MailChallenge, MailProof } from './api.js';

/** An e-mail address of an account. Times have the format of RFC 3339. */
export interface Email {
  readonly id: string;
  readonly address: string;
  /** True if the user has proved it: only then it signs in and receives mails. */
  readonly verified: boolean;
  /** True for the one address that receives notices about the account. */
  readonly primary: boolean;
  readonly created_at: string;
}

/**
 * Operations on addresses. All are rejected with `not_found` if the server sends no mails. Those that change an
 * account are rejected with `fresh_token_required` if the password was entered long ago: call `reauthenticate` first.
 */
export interface Emails {
  /** Verifies an address. Rejected with `invalid_code` if the proof is wrong, was used or has expired. */
  verifyEmail(proof: MailProof): Promise<void>;
  /** Sends a mail with which `resetPassword` works, if an account has the address; the result is always the same. */
  forgotPassword(email: string): Promise<MailChallenge>;
  /** Lists the user's addresses. */
  emails(): Promise<Email[]>;
  /** Adds an address, which counts after `verifyEmail`. For one that was added before, sends another mail. */
  addEmail(email: string): Promise<MailChallenge>;
  /** Removes an address. Rejected with `conflict` for the primary one while another one is verified. */
  removeEmail(id: string): Promise<void>;
  /** Makes a verified address the primary one. */
  makeEmailPrimary(id: string): Promise<void>;
}

/** Returns the operations on addresses of the server of `auth`. */
export const createEmails = ({ call }: Pick<Auth, 'call'>): Emails => {
  const list = 'v1/me/emails';
  const one = (id: string) => list + '/' + encodeURIComponent(id);
  return {
    verifyEmail: (proof) => call('POST', 'v1/email/verify', proof),
    forgotPassword: (email) => call('POST', 'v1/password/forgot', { email }),
    emails: async () => (await call('GET', list)).items,
    addEmail: (email) => call('POST', list, { email }),
    removeEmail: (id) => call('DELETE', one(id)),
    makeEmailPrimary: (id) => call('POST', one(id) + '/primary'),
  };
};
