// Loads the page again when the server says that its subject has changed.
// <element data-live="/path/of/events" data-state="what the page shows now">
// With data-next it goes there instead: for a page that answers a form.
"use strict";

(() => {
  const subject = document.querySelector("[data-live]");
  if (!subject) return;
  const source = new EventSource(subject.dataset.live);
  const again = () => (subject.dataset.next ? window.location.assign(subject.dataset.next) : window.location.reload());
  let failures = 0;
  source.addEventListener("state", (event) => {
    failures = 0;
    if (event.data !== subject.dataset.state) {
      source.close();
      again();
    }
  });
  source.addEventListener("end", () => source.close());
  source.addEventListener("error", () => {
    // No stream to be had: look again in a while, as without JavaScript.
    failures += 1;
    if (failures < 3 && source.readyState !== EventSource.CLOSED) return;
    source.close();
    window.setTimeout(again, 10000);
  });
  window.addEventListener("pagehide", () => source.close());
})();
