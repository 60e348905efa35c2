// Shared code of all pages: requests, forms and their errors, tables, dialogs, times, names of browsers.
//
// Names, labels and user agents are untrusted: they become text nodes, never markup.
import { AuthError } from '/client/latchet.js';
import { language, languageHeaders, onLanguageChange, t, timeLocale } from '/pages/language.js';

const REQUEST_TIMEOUT_MS = 30_000;
/** Pauses between retries while the server cannot be reached. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const STATUS_MS = 10_000;

export const byId = (id) => document.getElementById(id);

/** Creates an element; texts among `children` become text nodes. */
export const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

export const button = (text, className, onclick) =>
  element('button', { type: 'button', className, onclick }, text);

// Requests

/** Sends a request with `send`, and returns the body of the response; rejected with an `AuthError`. */
export const sendRequest = async (send, method, path, body) => {
  const headers = { ...languageHeaders(), ...(body && { 'Content-Type': 'application/json' }) };
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const response = await send(path, { method, headers, body: body && JSON.stringify(body), signal })
    .catch((error) => { throw error instanceof AuthError ? error : new AuthError('network', error.message); });
  const answer = await response.json().catch(() => null);
  if (response.ok && (answer || response.status === 204)) return answer;
  const wait = Number(response.headers.get('Retry-After'));
  const error = new AuthError(answer?.code ?? 'unexpected_answer', answer?.detail, response.status, wait);
  throw Object.assign(error, { fields: answer?.errors ?? [] });
};

const asSentence = (text) => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
};

/** Returns a text of the server as a sentence in the language of the page. A number in it may vary. */
const serverText = (text) => {
  const [number] = text.match(/(?<![\d,])\d+(?![\d,])/) ?? [];
  return t(asSentence(number ? text.replace(number, '{number}') : text), { number });
};

const waitingTime = (seconds) => {
  const [count, unit] = seconds < 100 ? [Math.ceil(seconds), 'second'] : [Math.ceil(seconds / 60), 'minute'];
  return new Intl.RelativeTimeFormat(language).format(count, unit);
};

/** Returns the text for an `AuthError` that people read; other errors are bugs of the page. */
export const errorText = (error) => {
  if (!(error instanceof AuthError)) throw error;
  const { code, message, retryAfter } = error;
  if (code === 'network') return t('The server cannot be reached.');
  if (code === 'unexpected_answer') return t('The response is not from this server.');
  if (code === 'unavailable') return t('The server is temporarily unavailable.');
  // The session has ended, and the sign-in form shows that.
  if (/_token$|^token_/.test(code)) return '';
  if (retryAfter) return `${serverText(message.split(':')[0])} ${t('Try again {when}.', { when: waitingTime(retryAfter) })}`;
  return serverText(message);
};

const isTemporary = ({ code, status }) => code === 'network' || status >= 500;

/** Waits, at most until the network is back. */
const pause = (ms) => new Promise((resolve) => {
  const end = () => {
    clearTimeout(timer);
    removeEventListener('online', end);
    resolve();
  };
  const timer = setTimeout(end, ms);
  addEventListener('online', end);
});

/** Number of loads of each region: the result of an outdated load is dropped. */
const loadCounts = new WeakMap();

/** Shows the result of `get` in a region. While the server is unavailable, shows that and retries. */
export const load = async (region, get, show) => {
  const turn = (loadCounts.get(region) ?? 0) + 1;
  loadCounts.set(region, turn);
  const notice = region.querySelector('.notice');
  region.ariaBusy = 'true';
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
    const [result, error] = await get().then((value) => [value], (reason) => [null, reason]);
    if (loadCounts.get(region) !== turn) return;
    const again = error && isTemporary(error);
    notice.textContent = error ? `${errorText(error)}${again ? ` ${t('Trying again …')}` : ''}` : '';
    if (!again) {
      region.ariaBusy = 'false';
      if (!error) show(result);
      return;
    }
    await pause(Math.max(wait, error.retryAfter * 1000));
  }
};

/** Drops the pending loads of a region. */
export const cancelLoads = (region) => {
  loadCounts.set(region, (loadCounts.get(region) ?? 0) + 1);
  region.ariaBusy = 'false';
  region.querySelector('.notice').textContent = '';
};

// Forms

/** Shows the error of a field; an empty text removes it. */
const setFieldError = (field, text) => {
  const place = byId(`${field.id}-error`);
  if (!place) return;
  place.textContent = text;
  if (text) field.ariaInvalid = 'true';
  else field.removeAttribute('aria-invalid');
};

const showErrors = (form, error, fieldOfCode) => {
  const text = errorText(error);
  const faults = (error.fields ?? []).map(({ field, detail }) => [field.split(/[.[]/)[0], serverText(detail)]);
  if (!faults.length && fieldOfCode[error.code]) faults.push([fieldOfCode[error.code], text]);
  const known = faults.filter(([name]) => byId(`${form.elements[name]?.id}-error`));
  for (const [name, fault] of known) setFieldError(form.elements[name], fault);
  form.querySelector('.problem').textContent = known.length ? '' : text;
  (known.length ? form.elements[known[0][0]] : form.querySelector('[type=submit]')).focus();
};

/** Returns the fault of a field. The page may have another language than the browser's own messages. */
const faultOf = ({ validity, title, validationMessage }) => {
  if (validity.valueMissing) return t('Please fill in this field.');
  // The title of a field describes its pattern.
  return validity.patternMismatch ? title : validationMessage;
};

const isValid = (form) => {
  const wrong = [...form.elements].filter((field) => field.willValidate && !field.checkValidity());
  for (const field of wrong) setFieldError(field, faultOf(field));
  wrong[0]?.focus();
  return !wrong.length;
};

const togglePasswords = (form) => {
  for (const box of form.querySelectorAll('[data-reveals]')) {
    for (const name of box.dataset.reveals.split(' ')) form.elements[name].type = box.checked ? 'text' : 'password';
  }
};

/**
 * Calls `work` with the values of a form when it is submitted, and shows errors at the fields.
 * `fieldOfCode` maps an error code to its field.
 */
export const onSubmit = (form, work, fieldOfCode = {}) => {
  const submit = form.querySelector('[type=submit]');
  form.noValidate = true;
  form.addEventListener('input', ({ target }) => setFieldError(target, ''));
  form.addEventListener('change', () => togglePasswords(form));
  form.addEventListener('reset', () => setTimeout(() => togglePasswords(form)));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (submit.ariaDisabled === 'true' || !isValid(form)) return;
    // Not `disabled`, which would remove the focus.
    submit.ariaDisabled = 'true';
    form.querySelector('.problem').textContent = '';
    try {
      await work(Object.fromEntries(new FormData(form)));
    } catch (error) {
      showErrors(form, error, fieldOfCode);
    } finally {
      submit.ariaDisabled = 'false';
    }
  });
};

/** Empties a form, and removes its errors. */
export const clearForm = (form) => {
  form.reset();
  for (const field of form.elements) setFieldError(field, '');
  form.querySelector('.problem').textContent = '';
};

// Messages

let hideTimer;

/** Shows a message of success, or of failure. */
export const showStatus = (text, isBad = false) => {
  const toast = byId('status');
  clearTimeout(hideTimer);
  toast.classList.toggle('bad', isBad);
  toast.textContent = text;
  if (!text) return;
  // A failure stays until the next input.
  if (isBad) addEventListener('input', () => showStatus(''), { once: true });
  else hideTimer = setTimeout(() => showStatus(''), STATUS_MS);
};

/** Runs `work`, and shows the message that it returns, or the reason of its failure. */
export const runAction = async (work) => {
  try {
    showStatus(await work());
  } catch (error) {
    showStatus(errorText(error), true);
  }
};

let resolveConfirmation = () => {};

/** Asks for confirmation in a dialog. */
export const confirmAction = (question, consequence, action) => new Promise((resolve) => {
  const dialog = byId('confirm');
  // Browsers report late that a dialog was closed: it may already be open for the next question.
  resolveConfirmation(false);
  resolveConfirmation = resolve;
  dialog.onclose = () => {
    if (!dialog.open) resolveConfirmation(dialog.returnValue === 'yes');
  };
  dialog.querySelector('h2').textContent = question;
  dialog.querySelector('p').textContent = consequence;
  dialog.querySelector('.danger').textContent = action;
  dialog.returnValue = '';
  dialog.showModal();
});

/**
 * Copies a text and returns `done`; if the browser forbids that, shows the text in `place` for copying by
 * hand.
 */
export const copyText = async (text, place, done) => {
  try {
    await navigator.clipboard.writeText(text);
    return done;
  } catch {
    place.hidden = false;
    place.value = text;
    place.select();
    return t('Your browser does not allow pages to copy. Copy the selected text.');
  }
};

// Tables and times

/** Adds a row to a table. Each cell gets its heading, which narrow screens show beside it. */
export const addRow = (table, cells) => {
  const headings = [...table.tHead.rows[0].cells];
  const row = element('tr', { role: 'row' }, ...cells.map((content, index) => {
    const cell = element('td', { role: 'cell' }, ...[content].flat());
    cell.dataset.label = headings[index].textContent;
    cell.className = headings[index].className;
    return cell;
  }));
  table.tBodies[0].append(row);
  return row;
};

const DAY = { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' };
const UNITS = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]];

const createFormats = () => {
  const locale = timeLocale();
  return {
    full: new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'long' }),
    thisYear: new Intl.DateTimeFormat(locale, DAY),
    anyYear: new Intl.DateTimeFormat(locale, { ...DAY, year: 'numeric' }),
    relative: new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }),
  };
};
let formats = createFormats();
onLanguageChange(() => { formats = createFormats(); });

const timeAs = (text, time) => element('time', { dateTime: time, title: formats.full.format(new Date(time)) }, text);

/** Returns a time in the user's format, without the year if it is the current one. */
export const timeElement = (time) => {
  const date = new Date(time);
  const isThisYear = date.getFullYear() === new Date().getFullYear();
  return timeAs(formats[isThisYear ? 'thisYear' : 'anyYear'].format(date), time);
};

/** Returns the time that has passed since `time`. */
export const relativeTime = (time) => {
  // The server's clock may be ahead.
  const seconds = Math.min((new Date(time) - Date.now()) / 1000, 0);
  const [unit, length] = UNITS.find(([, size]) => -seconds >= size) ?? UNITS.at(-1);
  return timeAs(formats.relative.format(Math.trunc(seconds / length), unit), time);
};

const BROWSERS = [
  ['Edge', /\bEdg/], ['Opera', /\bOPR\//], ['Samsung Internet', /SamsungBrowser/],
  ['Firefox', /Firefox|FxiOS/], ['Chrome', /Chrom|CriOS/], ['Safari', /Safari/],
];
const SYSTEMS = [
  ['iPhone', /iPhone/], ['iPad', /iPad/], ['Android', /Android/], ['Windows', /Windows/],
  ['macOS', /Mac OS X/], ['ChromeOS', /CrOS/], ['Linux', /Linux/],
];

/** Returns a name for a user agent: `Firefox on Linux`, or the program's own name. */
export const browserName = (agent) => {
  const first = (names) => names.find(([, pattern]) => pattern.test(agent))?.[0];
  const [browser, system] = [first(BROWSERS), first(SYSTEMS)];
  if (!browser) return agent.split(' ')[0] || t('Unknown program');
  return system ? t('{browser} on {system}', { browser, system }) : browser;
};

/** Returns the device of a session: its label, if it has one, and its browser. */
const deviceElement = ({ label, user_agent: agent }) => {
  const browser = browserName(agent);
  return element('span', { title: agent, translate: false }, label ? `${label} (${browser})` : browser);
};

/** Returns the four cells of a session: device, IP address, login and last use. */
export const sessionCells = (session) =>
  [deviceElement(session), session.ip, timeElement(session.created_at), relativeTime(session.refreshed_at)];
