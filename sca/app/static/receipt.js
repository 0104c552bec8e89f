// Checks a receipt in this browser: nothing is sent anywhere but the request
// for the hub's public keys.
"use strict";

(() => {
  const form = document.querySelector("form[data-receipt]");
  if (!form || !window.crypto.subtle) return;
  form.hidden = false;
  const said = document.querySelector("[data-said]");
  const text = document.querySelector("[data-text]");
  const decode = (part) => Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const utf8 = (part) => new TextDecoder("utf-8", { fatal: true }).decode(decode(part));

  // RFC 8785 for strings and integers, whose names are ASCII.
  const canonical = (value) => (typeof value === "object"
    ? `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`
    : JSON.stringify(value));
  async function hash(value) {
    const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical(value)));
    return Array.from(new Uint8Array(sum), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  async function check(receipt, jwks) {
    const [header, payload, signature, more] = receipt.trim().split(".");
    if (more !== undefined) throw new Error("form");
    const { alg, kid } = JSON.parse(utf8(header));
    const jwk = jwks.keys.find((one) => one.kid === kid);
    if (alg !== "ES256" || !jwk || jwk.crv !== "P-256") throw new Error("key");
    const key = await crypto.subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
    const signed = new TextEncoder().encode(`${header}.${payload}`);
    if (!(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, decode(signature), signed))) throw new Error("signature");
    const r = JSON.parse(utf8(payload));
    const l = r.linked;
    const link = {
      v: 1, payment_id: l.payment_id, amount_minor: l.amount.amount_minor, currency: l.amount.currency, creditor_name: l.creditor_name,
      creditor_iban: l.creditor_iban, debtor_ref: l.debtor_ref, nonce: l.nonce, exp: l.exp,
    };
    if ((await hash(link)) !== r.link_hash || l.payment_id !== r.payment_id) throw new Error("link");
    if ((await hash(r.display)) !== r.display_hash) throw new Error("display");
    return r;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    text.textContent = "";
    try {
      const given = form.elements.namedItem("jwks").value.trim();
      const jwks = given ? JSON.parse(given) : await (await fetch("/sca/receipt/keys")).json();
      const r = await check(form.elements.namedItem("receipt").value, jwks);
      said.textContent = form.dataset.good;
      text.textContent = `${r.display.text}\n${r.method} · ${r.at}`;
    } catch {
      said.textContent = form.dataset.bad;
    }
  });
})();
