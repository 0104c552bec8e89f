// Package jose is where Rialto signs and where it believes a signature: keys
// and their rotation (RFC 7517), the signature a merchant puts on a request
// and the one we put on a webhook (detached JWS, RFC 7515 App. F), and the
// three JWTs of the API — client assertion (RFC 7523), access token (RFC 9068)
// and DPoP proof (RFC 9449).
//
//	keys     Key, KeySet          ours: private, rotated with overlap, published as JWKS
//	         PublicKey(Set)       theirs: checked hard once, at registration
//	request  SignRequest          VerifyRequest           Rialto-Signature of a merchant
//	webhook  SignDetached         VerifyDetached          Rialto-Signature of a webhook
//	token    SignClientAssertion  VerifyClientAssertion   who asks for a token
//	         SignAccessToken      VerifyAccessToken       what the token allows
//	         SignDPoP             VerifyDPoP, CheckBound  that its holder uses it
//
// Every compact JWS passes one gate (jws.go) before go-jose sees it: a length
// cap, exactly three strict base64url parts, an allow-list of protected header
// members per profile, no member twice. After the gate the key decides the
// algorithm, never the header. There is no HMAC here, no "none", no header
// that brings or points to a key (but in DPoP, whose proof is about that very
// key), no JSON serialisation and no crit.
//
// Keys are parsed when they are registered or loaded, not per operation.
//
// Neighbours: psd2/api and webhooks use it on every request and delivery;
// webhooks/verify is the receiver's side and shares nothing with it but the
// bytes on the wire. No other package of the hub imports go-jose.
package jose
