// Passkeys. A form with data-passkey is shown only here, where they work:
//   data-options  where the options are fetched; or data-given, the options themselves
//   data-finish   where the answer goes; it says where to go on
"use strict";

(() => {
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) return;

  async function send(address, body) {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.code || "failed");
    return value;
  }

  async function run(form) {
    const begun = form.dataset.given ? { id: "", get: JSON.parse(form.dataset.given) } : await send(form.dataset.options, {});
    if (begun.next) return begun.next;
    const credential = begun.create
      ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(begun.create) })
      : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(begun.get) });
    const name = form.elements.namedItem("name");
    const answer = await send(form.dataset.finish, { id: begun.id, name: name ? name.value : "", response: JSON.stringify(credential.toJSON()) });
    return answer.next;
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    const said = form.querySelector("[data-said]");
    let busy = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (busy) return;
      busy = true;
      said.textContent = "";
      try {
        window.location.assign(await run(form));
      } catch {
        said.textContent = form.dataset.failed;
        busy = false;
      }
    });
  }
})();
