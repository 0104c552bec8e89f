// rialtoSeal gives the compact JWE (RFC 7516) of an object of strings: ECDH-ES
// on P-256 (RFC 7518 §4.6) with A256GCM, by WebCrypto alone. jwk is the hub's
// key from the page, context names the form: another form's box does not open.
async function rialtoSeal(jwk, context, fields) {
  "use strict";
  const text = new TextEncoder();
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const b64 = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const counted = (bytes) => {
    const out = new Uint8Array(4 + bytes.length);
    new DataView(out.buffer).setUint32(0, bytes.length);
    out.set(bytes, 4);
    return out;
  };
  const join = (...parts) => {
    const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const p of parts) {
      out.set(p, at);
      at += p.length;
    }
    return out;
  };

  const theirs = await crypto.subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, curve, false, []);
  const own = await crypto.subtle.generateKey(curve, true, ["deriveBits"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", own.publicKey);
  const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, own.privateKey, 256));

  // Concat KDF, one round (RFC 7518 §4.6.2): algorithm, nobody, context, 256 bits.
  const apv = text.encode(context);
  const round = join(
    new Uint8Array([0, 0, 0, 1]), shared,
    counted(text.encode("A256GCM")), counted(new Uint8Array()), counted(apv), new Uint8Array([0, 0, 1, 0]),
  );
  const bytes = await crypto.subtle.digest("SHA-256", round);
  const key = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt"]);

  const header = b64(text.encode(JSON.stringify({ alg: "ECDH-ES", enc: "A256GCM", kid: jwk.kid, apv: b64(apv), epk: { kty, crv, x, y } })));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = new Uint8Array(await crypto.subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: text.encode(header), tagLength: 128 }, key, text.encode(JSON.stringify(fields)),
  ));
  return [header, "", b64(iv), b64(sealed.subarray(0, -16)), b64(sealed.subarray(-16))].join(".");
}
