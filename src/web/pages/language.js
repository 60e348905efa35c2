// Language of a page: English, as in the HTML, or German.
//
// Translations are keyed by the English text, not by ids: HTML and scripts stay readable, English needs no second
// file, and a text without a translation is shown in English. A test finds such texts. German is loaded only when it
// is chosen. A page without the switch, such as /admin, is in English.
//
// The language changes in place, because a reload would lose the secret of a link and what was typed. The page is
// searched for texts that this module has returned, and each is replaced by its counterpart. Names and other data of
// users are in elements with `translate="no"`.

const STORED_NAME = 'latchet-language';
const LOADERS = {
  en: async () => [],
  de: async () => Object.entries((await import('/pages/de.js')).default),
};
const ATTRIBUTES = ['aria-label', 'placeholder', 'title'];

const footer = document.querySelector('.languages');
const choices = [...footer?.querySelectorAll('button') ?? []];

/** Language of the page, as in `<html lang>`. */
export let language = 'en';

let translations = new Map();
/** English form of each text that was returned, and the values in it. */
const origins = new Map();
const listeners = [];
/** The last choice: the texts of an earlier one may arrive later. */
let wanted = language;

/** Returns a text in the language of the page. `{name}` in it is replaced by a value. */
export const t = (english, values = {}) => {
  const pattern = translations.get(english) ?? english;
  const text = pattern.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder);
  origins.set(text, [english, values]);
  return text;
};

/** Returns the English form of a text of the page. */
export const englishOf = (text) => origins.get(text)?.[0] ?? text;

/** Calls `listener` after each change of the language. */
export const onLanguageChange = (listener) => listeners.push(listener);

const primarySubtag = (tag) => tag.split('-')[0].toLowerCase();

/** Returns the locale for times: the user's own if it has the language of the page. */
export const timeLocale = () =>
  (footer ? navigator.languages.find((tag) => primarySubtag(tag) === language) ?? language : undefined);

/** Returns the headers of requests that may cause a mail, which has the language of the page. */
export const languageHeaders = () => (footer ? { 'Accept-Language': language } : {});

/** Translates a text of the page, whatever language it has. ` · ` separates the parts of a title. */
const retranslate = (text) => text.split(' · ').map((part) => t(...(origins.get(part) ?? [part]))).join(' · ');

const isTranslatable = (element) => !element.closest('[translate=no], script, noscript');

const translatePage = () => {
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const text = node.data.trim();
    if (!text || !isTranslatable(node.parentElement)) continue;
    const next = retranslate(text);
    // Unchanged texts stay, so that screen readers do not repeat them.
    if (next !== text) node.data = node.data.replace(text, () => next);
  }
  for (const name of ATTRIBUTES) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      if (isTranslatable(element)) element.setAttribute(name, retranslate(element.getAttribute(name)));
    }
  }
};

const showChoice = () => {
  for (const choice of choices) choice.ariaPressed = String(choice.lang === language);
};

const choose = async (code) => {
  wanted = code;
  // Without the texts the page stays as it is.
  const entries = await LOADERS[code]().catch(() => null);
  if (!entries || wanted !== code) return;
  translations = new Map(entries);
  language = code;
  translatePage();
  showChoice();
  for (const listener of listeners) listener();
};

const storedLanguage = () => {
  try {
    return localStorage.getItem(STORED_NAME);
  } catch {
    // The browser blocks the storage.
    return null;
  }
};

const storeLanguage = (code) => {
  try {
    localStorage.setItem(STORED_NAME, code);
  } catch {
    // The choice lasts as long as the page.
  }
};

if (footer) {
  for (const choice of choices) {
    choice.addEventListener('click', () => {
      storeLanguage(choice.lang);
      choose(choice.lang);
    });
  }
  footer.hidden = false;
  const preferred = [storedLanguage(), ...navigator.languages.map(primarySubtag)];
  // Scripts that import this one wait, and so start with the right texts.
  await choose(preferred.find((code) => Object.hasOwn(LOADERS, code)) ?? language);
}
