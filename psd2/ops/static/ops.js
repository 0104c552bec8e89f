// Word that a story has changed, and ages that grow. Every page works without
// it.
"use strict";

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
