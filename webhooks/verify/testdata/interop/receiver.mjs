// Verifies deliveries as a merchant on Node would, and signs one of its own.
// Reads {secret, publicKey, jwks, deliveries: [{id, timestamp, signature, jws,
// body (base64)}]} on stdin; writes {results: [{v1, v1a, jws}], ours: {…}}.
import { createPrivateKey, createPublicKey, verify, sign } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { createLocalJWKSet, exportJWK, flattenedVerify, FlattenedSign, generateKeyPair } from 'jose';
import { Webhook } from 'standardwebhooks';

const input = JSON.parse(await text(process.stdin));

const accepted = async (check) => {
  try {
    return (await check()) !== false;
  } catch {
    return false;
  }
};

const content = (d) => Buffer.concat([Buffer.from(`${d.id}.${d.timestamp}.`), Buffer.from(d.body, 'base64')]);

// standardwebhooks 1.1.1 knows v1 only, so ed25519 is checked with Node's own crypto.
const checkV1 = (d) => {
  new Webhook(input.secret).verify(Buffer.from(d.body, 'base64').toString(), {
    'webhook-id': d.id, 'webhook-timestamp': d.timestamp, 'webhook-signature': d.signature,
  });
};
const x = Buffer.from(input.publicKey.slice('whpk_'.length), 'base64').toString('base64url');
const ed25519 = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
const checkV1a = (d) => d.signature.split(' ').some((item) => {
  const [version, value] = item.split(',');
  return version === 'v1a' && verify(null, content(d), ed25519, Buffer.from(value, 'base64'));
});
const keys = createLocalJWKSet(input.jwks);
const checkJWS = async (d) => {
  const [header, empty, signature] = d.jws.split('.');
  if (empty !== '') return false;
  await flattenedVerify({ protected: header, payload: content(d).toString('base64url'), signature }, keys);
};

const results = [];
for (const d of input.deliveries) {
  results.push({
    v1: await accepted(() => checkV1(d)), v1a: await accepted(() => checkV1a(d)), jws: await accepted(() => checkJWS(d)),
  });
}

// The other direction: a delivery that their libraries sign.
const d = input.deliveries[0];
const at = new Date(Number(d.timestamp) * 1000);
const seed = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x: input.theirs.x, d: input.theirs.d }, format: 'jwk' });
const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
const jws = await new FlattenedSign(content(d))
  .setProtectedHeader({ alg: 'ES256', kid: 'node-1', iat: Number(d.timestamp) }).sign(privateKey);
const ours = {
  v1: new Webhook(input.secret).sign(d.id, at, Buffer.from(d.body, 'base64').toString()),
  v1a: `v1a,${sign(null, content(d), seed).toString('base64')}`,
  jws: `${jws.protected}..${jws.signature}`,
  jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'node-1', alg: 'ES256', use: 'sig' }] },
};
process.stdout.write(JSON.stringify({ results, ours }));
