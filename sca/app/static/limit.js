// Warns of the end of a time limit while there is still time to ask for more
// (WCAG 2.2.1), and shows the end when it has come.
//   <element data-limit="seconds left" data-warn="what to say">
"use strict";

(() => {
  const limit = document.querySelector("[data-limit]");
  if (!limit) return;
  const warning = 30; // at least 20, and a little for hearing it read out
  const left = Number(limit.dataset.limit);
  window.setTimeout(() => {
    const said = limit.querySelector("[data-said]");
    said.textContent = limit.dataset.warn;
    said.classList.add("notice", "look");
  }, Math.max(0, left - warning) * 1000);
  window.setTimeout(() => window.location.reload(), (left + 1) * 1000);
})();
