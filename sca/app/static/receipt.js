// Checks a receipt in this browser, in whole: the hub's signature, that link and
// text are those of the data, and what the payer's passkey or device has signed.
// Nothing is sent anywhere but the request for the hub's public keys, which a
// saved page does without.
"use strict";

(() => {
  const form = document.querySelector("form[data-receipt]");
  if (!form || !window.crypto.subtle) return;
  form.hidden = false;
  const said = document.querySelector("[data-said]");
  const text = document.querySelector("[data-text]");
  const { subtle } = window.crypto;
  const fail = (why) => { throw new Error(why); };
  const bytes = (string) => new TextEncoder().encode(string);
  const decode = (part) => Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const utf8 = (part) => new TextDecoder("utf-8", { fatal: true }).decode(decode(part));
  const hex = (array) => Array.from(array, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const sha256 = async (array) => new Uint8Array(await subtle.digest("SHA-256", array));
  const join = (...arrays) => new Uint8Array(arrays.flatMap((array) => Array.from(array)));
  const same = (x, y) => hex(x) === hex(y);

  // RFC 8785 for strings and integers, whose names are ASCII.
  const canonical = (value) => (typeof value === "object"
    ? `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`
    : JSON.stringify(value));
  const hash = async (value) => hex(await sha256(bytes(canonical(value))));

  // The wordings that payers were ever shown, by template and language.
  const wordings = {
    p1: {
      en: "Pay {amount}\nto {name}\naccount {iban}\nreference {reference}",
      de: "Zahlung von {amount}\nan {name}\nKonto {iban}\nVerwendungszweck {reference}",
    },
    p2: {
      en: "Pay {amount}\nto {name}\naccount {iban}\nreference {reference}\nfor {shop}\nwebsite {domain}",
      de: "Zahlung von {amount}\nan {name}\nKonto {iban}\nVerwendungszweck {reference}\nfür {shop}\nWebsite {domain}",
    },
  };
  // oneLine shows what would begin a new line, hide or reorder text as a mark.
  // eslint-disable-next-line no-control-regex
  const oneLine = (string) => string.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu, "\ufffd");
  function amountText(language, { amount_minor: minor, currency }) {
    const cents = String(minor).padStart(3, "0");
    const [thousands, point] = language === "de" ? [".", ","] : [",", "."];
    const number = cents.slice(0, -2).replace(/\B(?=(\d{3})+$)/gu, thousands) + point + cents.slice(-2);
    return language === "de" ? `${number} ${currency}` : `${currency} ${number}`;
  }
  function render({ template, language }, link) {
    const wording = wordings[template]?.[language] ?? fail("template");
    const values = {
      amount: amountText(language, link.amount), name: oneLine(link.creditor_name), iban: link.creditor_iban.replace(/(.{4})(?=.)/gu, "$1 "), reference: oneLine(link.debtor_ref),
      shop: oneLine(link.shop?.name ?? ""), domain: oneLine(link.shop?.domain ?? ""),
    };
    return wording.replace(/\{(amount|name|iban|reference|shop|domain)\}/gu, (_, name) => values[name]);
  }

  // verifyJWS checks a compact JWS by an ES256 key and gives its payload.
  async function verifyJWS(jws, jwk) {
    const [header, payload, signature, more] = jws.split(".");
    if (more !== undefined || JSON.parse(utf8(header)).alg !== "ES256" || jwk.crv !== "P-256") fail("form");
    const key = await subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
    if (!(await subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, decode(signature), bytes(`${header}.${payload}`)))) fail("signature");
    return JSON.parse(utf8(payload));
  }

  // cose reads a COSE_Key (RFC 9052): a CBOR map of small integers to integers and
  // byte strings, which is all that public keys are made of.
  function cose(data) {
    let at = 0;
    function item() {
      const first = data[at++];
      const kind = first >> 5;
      let n = first & 31;
      if (n === 24) n = data[at++];
      else if (n === 25) { n = data[at] * 256 + data[at + 1]; at += 2; } else if (n > 25) fail("cbor");
      if (kind === 0) return n;
      if (kind === 1) return -1 - n;
      if (kind === 2) { at += n; return data.slice(at - n, at); }
      if (kind !== 5) fail("cbor");
      return new Map(Array.from({ length: n }, () => [item(), item()]));
    }
    const map = item();
    return map instanceof Map && at === data.length ? map : fail("cbor");
  }
  // raw turns an ECDSA signature in DER into r and s of 32 bytes each.
  function raw(der) {
    let at = 2;
    const integer = () => {
      const length = der[at + 1];
      const value = der.slice(at + 2, at + 2 + length);
      if (der[at] !== 2 || value.length !== length) fail("der");
      at += 2 + length;
      const short = value.length > 32 ? value.slice(value.length - 32) : value;
      return join(new Uint8Array(32 - short.length), short);
    };
    if (der[0] !== 0x30 || der[1] !== der.length - 2) fail("der");
    return join(integer(), integer());
  }
  async function verifyCOSE(publicKey, signed, signature) {
    const key = cose(publicKey);
    const b64 = (label) => btoa(String.fromCharCode(...key.get(label))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    switch (key.get(3)) {
      case -7: { // ES256
        if (key.get(1) !== 2 || key.get(-1) !== 1) fail("key");
        const one = await subtle.importKey("jwk", { kty: "EC", crv: "P-256", x: b64(-2), y: b64(-3) }, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
        return subtle.verify({ name: "ECDSA", hash: "SHA-256" }, one, raw(signature), signed);
      }
      case -257: { // RS256
        const one = await subtle.importKey("jwk", { kty: "RSA", n: b64(-1), e: b64(-2) }, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["verify"]);
        return subtle.verify("RSASSA-PKCS1-v1_5", one, signature, signed);
      }
      case -8: { // EdDSA
        const one = await subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519", x: b64(-2) }, "Ed25519", false, ["verify"]);
        return subtle.verify("Ed25519", one, signature, signed);
      }
      default: return fail("key");
    }
  }

  const evidence = {
    async passkey(r) {
      const e = r.evidence;
      const clientData = decode(e.client_data);
      const authenticator = decode(e.authenticator_data);
      const client = JSON.parse(utf8(e.client_data));
      const link = Uint8Array.from(r.link_hash.match(/../gu), (pair) => parseInt(pair, 16));
      if (client.type !== "webauthn.get" || !same(decode(client.challenge), await sha256(join(decode(r.linked.nonce), link)))) fail("another challenge");
      if (!(await verifyCOSE(decode(e.public_key), join(authenticator, await sha256(clientData)), decode(e.signature)))) fail("the passkey's signature");
      if (authenticator.length < 37 || (authenticator[32] & 5) !== 5) fail("nobody was verified");
    },
    async push(r) {
      const said = await verifyJWS(r.evidence.device_answer, r.evidence.device_key.keys[0]);
      const want = { decision: "approve", link_hash: r.link_hash, text: r.display.text, text_hash: r.display_hash, challenge: r.challenge_id };
      if (Object.keys(want).some((name) => said[name] !== want[name])) fail("the device has approved something else");
    },
    totp(r) { if (!/^[0-9a-f]{64}$/u.test(r.evidence.step_hash)) fail("no evidence"); },
  };
  function atBank(r) {
    const { bank, ...others } = r.evidence;
    const shown = Object.values(r.display).join("") + r.display_hash + r.linked.nonce;
    if (r.sca_performed_by !== "aspsp" || !bank?.bank_id || !bank.end_to_end_id || !bank.authorized_at || Object.keys(others).length > 0 || shown !== "" || r.linked.exp !== 0) fail("bank");
  }

  async function check(receipt, jwks) {
    const { kid } = JSON.parse(utf8(receipt.split(".")[0]));
    const r = await verifyJWS(receipt, jwks.keys.find((one) => kid && one.kid === kid) ?? fail("no key"));
    const l = r.linked;
    const link = {
      v: 1, payment_id: l.payment_id, amount_minor: l.amount.amount_minor, currency: l.amount.currency, creditor_name: l.creditor_name,
      creditor_iban: l.creditor_iban, debtor_ref: l.debtor_ref, nonce: l.nonce, exp: l.exp,
    };
    if (l.shop) Object.assign(link, { v: 2, shop_name: l.shop.name, shop_domain: l.shop.domain });
    if ((await hash(link)) !== r.link_hash || l.payment_id !== r.payment_id) fail("link");
    if (r.method === "bank") {
      atBank(r);
      return `${amountText("en", l.amount)} · ${l.creditor_name} · ${r.evidence.bank.bank_id}`;
    }
    if (!["hub", "delegated"].includes(r.sca_performed_by) || r.evidence.bank) fail("performer");
    if ((await hash(r.display)) !== r.display_hash || render(r.display, l) !== r.display.text) fail("display");
    if (!Object.hasOwn(evidence, r.method)) fail("method");
    await evidence[r.method](r);
    return r.display.text;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    text.textContent = "";
    try {
      const given = form.elements.namedItem("jwks").value.trim();
      const jwks = given ? JSON.parse(given) : await (await fetch("/sca/receipt/keys")).json();
      const receipt = form.elements.namedItem("receipt").value.trim();
      const shown = await check(receipt, jwks);
      const r = JSON.parse(utf8(receipt.split(".")[1]));
      said.textContent = form.dataset.good;
      text.textContent = `${shown}\n${r.method} · ${r.sca_performed_by} · ${r.at}`;
    } catch {
      said.textContent = form.dataset.bad;
    }
  });
})();
