// Warns of the end of a time limit while there is still time to ask for more
// (WCAG 2.2.1), and shows the end when it has come.
//   <element data-limit="seconds left" data-warn="what to say" data-before="seconds">
// The warning comes data-before seconds before the end, 30 by default. At the end
// the page loads again; with data-end it goes there, with data-over it says that
// and stays. A button in it with data-stay="address" asks there for more time
// without leaving the page; the answer says for how many seconds.
"use strict";

(() => {
  function watch(limit) {
    const warning = Number(limit.dataset.before) || 30; // at least 20, and a little for hearing it read out
    const said = limit.querySelector("[data-said]");
    const stay = limit.querySelector("button[data-stay]");
    let timers = [];
    const say = (text) => {
      said.textContent = text;
      said.classList.toggle("notice", text !== "");
      said.classList.toggle("look", text !== "");
    };
    const warn = () => {
      if (stay) stay.hidden = false;
      say(limit.dataset.warn);
    };
    const end = () => {
      if (limit.dataset.over) say(limit.dataset.over);
      else if (limit.dataset.end) window.location.assign(limit.dataset.end);
      else window.location.reload();
    };
    const begin = (left) => {
      for (const timer of timers) window.clearTimeout(timer);
      timers = [window.setTimeout(warn, Math.max(0, left - warning) * 1000), window.setTimeout(end, (left + 1) * 1000)];
    };
    if (stay) {
      stay.addEventListener("click", async () => {
        const answer = await fetch(stay.dataset.stay, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: "{}" });
        if (!answer.ok) {
          end();
          return;
        }
        say("");
        begin((await answer.json()).seconds);
      });
    }
    begin(Number(limit.dataset.limit));
  }
  for (const limit of document.querySelectorAll("[data-limit]")) watch(limit);
})();
