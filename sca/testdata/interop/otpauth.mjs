// Reads otpauth:// addresses with npm's otpauth, as an authenticator app would:
// {addresses, at} on standard input, for each address what it says and the code
// of that time (Unix seconds) on standard output.
import { readFileSync } from "node:fs";
import { URI } from "otpauth";

const { addresses, at } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify({
  results: addresses.map((address) => {
    const totp = URI.parse(address);
    return {
      issuer: totp.issuer, label: totp.label, secret: totp.secret.base32, algorithm: totp.algorithm, digits: totp.digits, period: totp.period,
      code: totp.generate({ timestamp: at * 1000 }),
    };
  }),
}));
