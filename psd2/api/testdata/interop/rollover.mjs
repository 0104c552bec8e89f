// Makes the inner JWS of a rollover with npm's jose: {client, url, old, iat} on
// standard input, old being the public key in use; {new_key, kid} on standard
// output.
import { readFileSync } from "node:fs";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

const { client, url, old, iat } = JSON.parse(readFileSync(0, "utf8"));
const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
const jwk = { ...(await exportJWK(publicKey)), kid: "till-2" };
const newKey = await new SignJWT({ replaces: await calculateJwkThumbprint(old) })
  .setProtectedHeader({ alg: "ES256", typ: "key-rollover+jwt", jwk })
  .setIssuer(client)
  .setAudience(url)
  .setIssuedAt(iat)
  .sign(privateKey);
console.log(JSON.stringify({ new_key: newKey, kid: jwk.kid }));
