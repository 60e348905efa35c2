// Lists that the server returns one page at a time.
import { addRow, cancelLoads, load } from '/pages/pages.js';
import { api } from '/pages/session.js';

/**
 * Fills the table of a section with the items of `path`: the first page, and further pages on demand.
 * `itemCells` returns the cells of an item. A search form in the section filters the list.
 */
export const pagedList = (section, path, itemCells) => {
  const table = section.querySelector('table');
  const [body] = table.tBodies;
  const [form, more, empty] = ['.search', '.more', '.empty'].map((name) => section.querySelector(name));
  let query = new URLSearchParams();
  let next;

  const get = () => api('GET', `${path}?${query}`);

  const append = (page) => {
    const rows = page.items.map((item) => addRow(table, itemCells(item)));
    ({ next } = page);
    more.hidden = !next;
    empty.hidden = body.rows.length > 0;
    table.hidden = !body.rows.length;
    return rows;
  };

  const open = () => {
    const search = form?.elements.search.value;
    query = new URLSearchParams(search ? { search } : {});
    return load(section, get, (page) => {
      body.replaceChildren();
      append(page);
    });
  };

  const close = () => {
    cancelLoads(section);
    body.replaceChildren();
    form?.reset();
    more.hidden = empty.hidden = true;
  };

  more.addEventListener('click', () => {
    query.set('after', next);
    load(section, get, (page) => {
      const [first] = append(page);
      // The button may be gone, and the new rows start here.
      first?.querySelector('a, button')?.focus();
    });
  });
  form?.addEventListener('submit', (event) => {
    event.preventDefault();
    open();
  });
  return { open, close };
};
