// Keys for those who work here all day. Every page works without them.
//   /  ?  j  k        the search, the list of keys, the next and previous row
//   data-key="x"      is pressed by x; a form behind <details> opens at its first field
"use strict";

// On a phone the present section may be beyond the edge.
document.querySelector(".mainnav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

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
    on = localStorage.getItem("keys") !== "off";
  } catch { /* storage forbidden: the keys stay on */ }
  box.checked = on;
  box.addEventListener("change", () => {
    on = box.checked;
    try {
      localStorage.setItem("keys", on ? "on" : "off");
    } catch { /* as above */ }
  });
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());

  function step(by) {
    const links = Array.from(document.querySelectorAll("[data-rows] tbody td > a"));
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))].focus();
  }

  function press(key) {
    const what = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!what) return false;
    if (what.tagName === "DETAILS") {
      what.open = true;
      what.querySelector("select, input:not([type=hidden]), textarea, button").focus();
      what.scrollIntoView({ block: "nearest" });
    } else {
      what.click();
    }
    return true;
  }

  const keys = {
    "/": () => { field.focus(); field.select(); },
    "?": () => dialog.showModal(),
    j: () => step(1),
    k: () => step(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (!on || dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]")) return;
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    } else if (/^[a-z]$/.test(event.key) && press(event.key)) {
      event.preventDefault();
    }
  });
})();
