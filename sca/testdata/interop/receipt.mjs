// Verifies receipts with npm's jose: {jwks, receipts} on standard input, for
// each receipt its payload or null on standard output.
import { readFileSync } from "node:fs";
import { compactVerify, createLocalJWKSet } from "jose";

const { jwks, receipts } = JSON.parse(readFileSync(0, "utf8"));
const keys = createLocalJWKSet(jwks);
const results = [];
for (const receipt of receipts) {
  try {
    const { payload, protectedHeader } = await compactVerify(receipt, keys, { algorithms: ["ES256"] });
    results.push({ payload: JSON.parse(new TextDecoder().decode(payload)), kid: protectedHeader.kid });
  } catch {
    results.push(null);
  }
}
console.log(JSON.stringify({ results }));
