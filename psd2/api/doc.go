// Package api is the merchant's REST API: tokens, deposits, their journal, the
// list of banks, webhook endpoints, and the documentation of all that.
// openapi.yaml beside this file is its contract; a test holds every route,
// request and answer to it.
//
//	GET  /.well-known/oauth-authorization-server   discovery (RFC 8414)
//	GET  /.well-known/jwks.json                    our public keys
//	GET  /.well-known/receipt-jwks.json            those that ever signed a receipt
//	POST /oauth/token                              client_credentials, private_key_jwt, DPoP
//	POST /v1/payments                              signed, idempotent
//	GET  /v1/payments, /v1/payments/{id}, /v1/payments/{id}/events
//	GET  /v1/payments/{id}/receipt                 what the payer has confirmed here, a compact JWS
//	POST /v1/payments/{id}/cancel                  signed, idempotent
//	POST /v1/payments/{id}/refunds, /v1/payouts    signed, idempotent
//	GET  /v1/payments/{id}/refunds, /v1/refunds/{id}, /v1/payouts, /v1/payouts/{id}
//	POST /v1/refunds/{id}/recall, /v1/payouts/{id}/recall   signed, idempotent
//	GET  /v1/accounts, /v1/accounts/{id}, …/entries, …/missing
//	GET  /v1/settlements                           JSON, CSV or camt.053
//	GET  /v1/events                                everything that happened, in order
//	POST /v1/payee-verifications                   signed, idempotent; rate limited, names are an oracle
//	GET  /v1/banks
//	POST /v1/webhook-endpoints                     signed, idempotent; shows the secret, once
//	GET  /v1/webhook-endpoints, /v1/webhook-endpoints/{id}, /v1/webhook-endpoints/{id}/deliveries
//	POST, DELETE /v1/webhook-endpoints/{id}        signed, idempotent
//	POST /v1/webhook-endpoints/{id}/keys           signed, idempotent; shows the new secret, once
//	POST /v1/webhook-endpoints/{id}/test, /v1/webhook-endpoints/{id}/deliveries/{delivery}/resend
//	GET  /v1/signing-keys, POST                    list; replace one: signed by both, idempotent
//	POST /v1/signature/check                       sandbox only: why a signature is refused, a request's or a webhook's
//	GET  /openapi.yaml, /docs
//
// A request under /v1 passes, in this order: address limit, access token (and
// DPoP proof), scope, merchant limit; a POST or DELETE then body cap and content type,
// Idempotency-Key, Rialto-Signature over the raw bytes, and only then is it
// parsed.
//
// # Idempotency
//
// The key, the hash of method, path and body, the work and the answer are
// written in one transaction. An answer is kept once the request did
// something: a success, or a refusal that depends on a payment's state. What
// was refused before that (400, 401, 403, 404, 413, 415, 422, 429, and 409 for
// an endpoint or a signing key) leaves the key unused: correct the request and send it with the
// same key. Keys are the merchant's own; another's are other keys. Answers are
// sealed, since they may hold a link or a webhook's secret: whoever lost the
// answer gets that secret by the same signed request, and by nothing else.
//
// Neighbours: psd2/hub does the work, psd2/store keeps it, webhooks delivers,
// psd2/jose believes signatures, psd2/edge is the plumbing, apiclient is the
// merchant's side.
package api
