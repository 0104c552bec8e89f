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
//	rollover SignRollover         VerifyRollover          a merchant's key takes the place of another
//	bank     QSeal.SignCavage     VerifyCavage            a request to a bank, sealed with our QSEAL:
//	         QSeal.SignJAdES      VerifyJAdES             HTTP signatures, or JAdES x-jws-signature
//	         InspectCertificate   Certificate.Check       what a QWAC or QSEAL allows its holder
//	box      page: seal.js       SealKey.Open            fields that a payer's browser seals for us
//
// Every compact JWS but the banks' passes one gate (jws.go) before go-jose sees it: a length
// cap, exactly three strict base64url parts, an allow-list of protected header
// members per profile, no member twice. After the gate the key decides the
// algorithm, never the header. There is no HMAC here, no "none", no header
// that brings or points to a key (but in DPoP and in a rollover, whose proof is
// about that very key), no JSON serialisation and no crit.
//
// Banks want what that gate forbids: critical members, x5c, RS256. Their
// profiles have a gate of their own (jades.go), with an allow-list of critical
// names, and there the key comes from a certificate that leads to a given root.
// Only sealed boxes are encrypted: ECDH-ES with A256GCM and nothing else.
//
// Keys are parsed when they are registered or loaded, not per operation.
//
// Neighbours: psd2/api and webhooks use it on every request and delivery,
// banks/berlingroup seals with it and banks/sandbox verifies;
// webhooks/verify is the receiver's side and shares nothing with it but the
// bytes on the wire. No other package of the hub imports go-jose.
package jose
