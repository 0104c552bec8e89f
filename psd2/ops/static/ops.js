// Keys for those who work here all day, and word that a story has changed.
// Every page works without it.
"use strict";

(() => {
  const dialog = document.getElementById("keys");
  const field = document.getElementById("q");
  if (!dialog || !field) return;
  const opener = document.getElementById("show-keys");
  const box = document.getElementById("keys-on");

  // Single keys can be switched off (WCAG 2.1.4): they get in the way of voice
  // control. The choice stays in this browser.
  let on = true;
  try {
    on = localStorage.getItem("ops.keys") !== "off";
  } catch { /* storage forbidden: the keys stay on */ }
  box.checked = on;
  box.addEventListener("change", () => {
    on = box.checked;
    try {
      localStorage.setItem("ops.keys", on ? "on" : "off");
    } catch { /* as above */ }
  });
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());

  function step(by) {
    const links = Array.from(document.querySelectorAll("[data-rows] tbody a"));
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by));
    links[next].focus();
  }
  const go = (path) => () => window.location.assign(path);
  const keys = {
    "/": () => { field.focus(); field.select(); },
    "?": () => dialog.showModal(),
    j: () => step(1),
    k: () => step(-1),
    n: go("/payments"),
    u: go("/unknown"),
    t: go("/transfers"),
    b: go("/banks"),
  };
  document.addEventListener("keydown", (event) => {
    if (!on || dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const act = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (!act) return;
    event.preventDefault();
    act();
  });
})();

(() => {
  const story = document.querySelector("[data-live]");
  if (!story) return;
  const notice = document.getElementById("changed");
  const source = new EventSource(story.dataset.live);
  source.addEventListener("version", (event) => {
    // Said, not done: the page must not move under whoever is reading it.
    if (event.data !== story.dataset.version) {
      source.close();
      notice.hidden = false;
    }
  });
  window.addEventListener("pagehide", () => source.close());
})();

(() => {
  // Ages grow while they are looked at.
  const ages = document.querySelectorAll("[data-since]");
  if (ages.length === 0) return;
  const loaded = Date.now();
  const write = (seconds) => {
    const [s, m, h] = [Math.floor(seconds), Math.floor(seconds / 60), Math.floor(seconds / 3600)];
    if (h >= 48) return `${Math.floor(h / 24)} d`;
    if (h >= 1) return `${h} h ${m % 60} min`;
    return `${m} min ${s % 60} s`;
  };
  for (const age of ages) {
    // By the server's clock: the reader's own may be wrong.
    const asOf = document.querySelector("main .small time:last-of-type, main p.small time");
    const began = (Date.parse(asOf ? asOf.dateTime : "") || loaded) - Date.parse(age.dataset.since);
    if (began < 60000) continue;
    setInterval(() => { age.textContent = write((began + Date.now() - loaded) / 1000); }, 1000);
  }
})();
