// A browser's own key beside its cookie, so that a copied cookie is noticed;
// and, only while the payer agrees (the box "agree"), how the page is used, in
// three coarse words. Puts both into the form it is given.
//   <form data-known="hash of the cookie" data-now="the server's time">
"use strict";

(() => {
  const form = document.querySelector("form[data-known]");
  if (!form || !window.crypto.subtle || !window.indexedDB) return;
  const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const bytes = (text) => new TextEncoder().encode(text);

  function stored(mode, act) {
    return new Promise((resolve, reject) => {
      const open = indexedDB.open("rialto-known", 1);
      open.onupgradeneeded = () => open.result.createObjectStore("keys");
      open.onerror = () => reject(open.error);
      open.onsuccess = () => {
        const asked = act(open.result.transaction("keys", mode).objectStore("keys"));
        asked.onsuccess = () => resolve(asked.result);
        asked.onerror = () => reject(asked.error);
      };
    });
  }
  async function proof(hash) {
    let pair = await stored("readonly", (keys) => keys.get("browser"));
    if (!pair) {
      pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
      await stored("readwrite", (keys) => keys.put(pair, "browser"));
    }
    const jwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
    const header = encode(bytes(JSON.stringify({ alg: "ES256", iat: Number(form.dataset.now), kid: "device" })));
    const input = `${header}.${encode(bytes(`rialto-known:${hash}`))}`;
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, bytes(input));
    const { kty, crv, x, y } = jwk;
    return `${encode(bytes(JSON.stringify({ kty, crv, x, y })))}.${input}.${encode(signature)}`;
  }
  const put = (name, value) => {
    const field = form.elements.namedItem(name);
    if (field) field.value = value;
  };
  proof(form.dataset.known).then((text) => put("device_proof", text)).catch(() => {});

  const agree = form.elements.namedItem("agree");
  if (!agree) return;
  let use = null;
  // Nothing is noticed before the box is ticked, and what was is forgotten when
  // the tick is taken away.
  const begin = () => { use = agree.checked ? { gaps: [], last: 0, typed: 0, pasted: 0, pointer: "none" } : null; };
  agree.addEventListener("change", begin);
  begin();
  form.addEventListener("keydown", (event) => {
    if (!use) return;
    if (use.last) use.gaps.push(event.timeStamp - use.last);
    use.last = event.timeStamp;
    use.typed += 1;
  });
  form.addEventListener("paste", () => { if (use) use.pasted += 1; });
  document.addEventListener("pointermove", (event) => {
    if (use) use.pointer = event.pointerType === "touch" ? "touch" : "moved";
  }, { passive: true });
  document.addEventListener("pointerdown", (event) => {
    if (!use) return;
    if (event.pointerType === "touch") use.pointer = "touch";
    else if (use.pointer === "none") use.pointer = "jumped";
  }, { passive: true });
  form.addEventListener("submit", () => {
    if (!use) return;
    const { gaps, typed, pasted, pointer } = use;
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / (gaps.length || 1);
    const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / (gaps.length || 1));
    put("behaviour", JSON.stringify({
      typing: gaps.length < 5 ? "none" : spread < mean ? "steady" : "uneven",
      paste: pasted === 0 ? "none" : typed > pasted ? "some" : "all",
      pointer,
    }));
  });
})();
