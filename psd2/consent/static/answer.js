// Seals what the payer types for his bank to the form's key before it leaves
// the browser. Where that is not possible the form is sent as it is, over TLS.
"use strict";

(() => {
  const form = document.querySelector("form[data-seal]");
  if (!form || !globalThis.crypto || !crypto.subtle) return;
  const names = ["psu_id", "password", "method", "code"];

  form.addEventListener("submit", async (event) => {
    if (form.dataset.sent) return; // page.js stops the second click
    event.preventDefault();
    const answer = {};
    for (const name of names) answer[name] = form.elements[name] ? form.elements[name].value : "";
    const box = document.createElement("input");
    box.type = "hidden";
    box.name = "sealed";
    try {
      box.value = await rialtoSeal(JSON.parse(form.dataset.seal), form.elements.ticket.value, answer);
    } catch {
      form.submit();
      return;
    }
    form.append(box);
    for (const name of names) {
      const field = form.elements[name];
      if (field) (field.length ? Array.from(field) : [field]).forEach((f) => { f.disabled = true; });
    }
    form.submit();
  });
})();
