// Small comforts; every page works without them.
"use strict";

// A form is sent once: the second click of a double click does nothing. The
// server refuses a second sending anyway.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});

// A page that comes out of the back/forward cache may be out of date.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
