// Package verify is what the receiver of a Rialto webhook imports: raw request
// in, typed event out. It depends on nothing else of Rialto's.
//
// A delivery is signed three ways over the same bytes,
//
//	webhook-id "." webhook-timestamp "." body
//
// and a receiver needs to check one of them:
//
//	webhook-signature: v1,…    HMAC-SHA256, secret whsec_…        Standard Webhooks 1.0.0
//	webhook-signature: v1a,…   ed25519, public key whpk_…         Standard Webhooks 1.0.0
//	Rialto-Signature: h..s     detached JWS, key from our JWKS    RFC 7515 App. F
//
// Build a Verifier from what you hold, give it every request before anything
// else has read the body, and treat Event.ID as the key under which you
// remember that you have handled it: deliveries come at least once.
//
// An Error says why a delivery is refused: header, clock, key, signature or body.
//
// The sending half (Secret, SigningKey, SignV1, SignV1a, Content) is here too,
// so that sender and receiver share one definition of the format; the hub's
// webhooks package signs with it.
package verify
