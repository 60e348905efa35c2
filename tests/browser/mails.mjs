// Mails of a server with the transport `log`: files in the folder MAILS.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const { MAILS } = process.env;
const DEADLINE_MS = 60_000;

const filesOf = () => {
  try {
    return readdirSync(MAILS).filter((name) => name.endsWith('.eml')).sort();
  } catch {
    // The folder appears with the first mail.
    return [];
  }
};

/** Returns the headers of a mail, and its text. */
const read = (file) => {
  const message = readFileSync(join(MAILS, file), 'utf8').replaceAll('\r\n', '\n');
  const part = message.split('\n--').find((text) => text.includes('text/plain'));
  const body = part.slice(part.indexOf('\n\n') + 2).replaceAll('=\n', '');
  const bytes = body.replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return { headers: `\n${message.slice(0, message.indexOf('\n\n'))}\n`, text: Buffer.from(bytes, 'latin1').toString('utf8') };
};

/** Waits for the text of the `number`th mail to an address that contains `part`, counted from 1. */
export const mailTo = async (address, number, part = '') => {
  for (const end = Date.now() + DEADLINE_MS; Date.now() < end;) {
    const found = filesOf().map(read).filter(({ headers, text }) =>
      headers.includes(`\nTo: ${address}\n`) && text.includes(part));
    if (found.length >= number) return found[number - 1].text;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error(`mail ${number} to ${address} is missing: ${part}`);
};

export const linkIn = (text) => text.match(/https?:\S+#\S+/)[0];

export const codeIn = (text) => text.match(/^\d{6}$/m)[0];
