// Encrypts what the payer types for his bank to the hub's key before it leaves
// the browser: a compact JWE (RFC 7516), ECDH-ES on P-256 with A256GCM. Without
// it the form is sent as it is, over TLS.
"use strict";

(() => {
  const form = document.querySelector("form[data-seal]");
  if (!form || !globalThis.crypto || !crypto.subtle) return;
  const utf8 = new TextEncoder();
  const fields = ["psu_id", "password", "method", "code"];

  const encode = (bytes) =>
    btoa(Array.from(new Uint8Array(bytes), (b) => String.fromCharCode(b)).join(""))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const uint32 = (n) => new Uint8Array([n >>> 24, n >>> 16, n >>> 8, n]);
  const join = (...parts) => {
    const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const p of parts) {
      all.set(p, at);
      at += p.length;
    }
    return all;
  };

  // contentKey is the Concat KDF of RFC 7518 §4.6.2 for one 256-bit key.
  async function contentKey(shared) {
    const none = uint32(0);
    const name = utf8.encode("A256GCM");
    const hashed = await crypto.subtle.digest("SHA-256",
      join(uint32(1), new Uint8Array(shared), uint32(name.length), name, none, none, uint32(256)));
    return crypto.subtle.importKey("raw", hashed, "AES-GCM", false, ["encrypt"]);
  }

  async function seal(text, jwk) {
    const curve = { name: "ECDH", namedCurve: "P-256" };
    const ours = await crypto.subtle.generateKey(curve, true, ["deriveBits"]);
    const theirs = await crypto.subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, curve, false, []);
    const shared = await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, ours.privateKey, 256);
    const epk = await crypto.subtle.exportKey("jwk", ours.publicKey);
    const header = encode(utf8.encode(JSON.stringify({
      alg: "ECDH-ES", enc: "A256GCM", kid: jwk.kid, epk: { kty: epk.kty, crv: epk.crv, x: epk.x, y: epk.y } })));
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const whole = new Uint8Array(await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData: utf8.encode(header), tagLength: 128 }, await contentKey(shared), utf8.encode(text)));
    return [header, "", encode(iv), encode(whole.slice(0, -16)), encode(whole.slice(-16))].join(".");
  }

  form.addEventListener("submit", async (event) => {
    if (form.elements.sealed) return;
    event.preventDefault();
    const answer = { ticket: form.elements.ticket.value };
    for (const name of fields) answer[name] = form.elements[name] ? form.elements[name].value : "";
    const sealed = document.createElement("input");
    sealed.type = "hidden";
    sealed.name = "sealed";
    try {
      sealed.value = await seal(JSON.stringify(answer), JSON.parse(form.dataset.seal));
    } catch {
      form.submit(); // as without this script
      return;
    }
    form.append(sealed);
    for (const name of fields) {
      const field = form.elements[name];
      if (field) (field.length ? Array.from(field) : [field]).forEach((f) => { f.disabled = true; });
    }
    form.requestSubmit();
  });
})();
