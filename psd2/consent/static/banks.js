// Filters the list of banks while the reader types. The search form does the
// same without it.
"use strict";

(() => {
  const lists = Array.from(document.querySelectorAll("[data-filter]"));
  if (lists.length === 0) return;
  const field = document.getElementById(lists[0].dataset.filter);
  const count = document.querySelector("[data-count]");
  const none = document.querySelector("[data-none]");
  const rows = lists.flatMap((list) => Array.from(list.children, (row) => ({ list, row, words: split(row.dataset.find) })));

  function split(text) {
    return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  }
  function matches(entry, wanted) {
    // All of it as one word, for a BIC typed in groups; else each word by itself.
    return [[wanted.join("")], wanted].some((words) =>
      words.every((word) => entry.words.some((other) => other.startsWith(word))));
  }
  function filter() {
    const wanted = split(field.value);
    let shown = 0;
    for (const entry of rows) {
      entry.row.hidden = wanted.length > 0 && !matches(entry, wanted);
      if (!entry.row.hidden) shown += 1;
    }
    for (const list of lists) {
      const some = rows.some((entry) => entry.list === list && !entry.row.hidden);
      const folded = list.closest("details");
      (folded || list).hidden = !some;
      if (folded) folded.open = some && wanted.length > 0;
    }
    if (none) {
      none.hidden = shown > 0;
      const title = none.querySelector("bdi");
      if (title) title.textContent = field.value;
    }
    count.textContent = (shown === 1 ? count.dataset.singular : count.dataset.plural).replace("#", String(shown));
  }
  field.addEventListener("input", filter);
  field.form.addEventListener("submit", (event) => {
    // The list is complete, so there is nothing to ask the server for.
    event.preventDefault();
    filter();
  });
  if (field.value) filter();
})();
