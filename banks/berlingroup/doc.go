// Package berlingroup speaks NextGenPSD2 1.3.12 to a bank: payment initiation
// in JSON or pain.001, in every approach of strong customer authentication.
//
//	Prepare   GET    authorisation server's metadata                   OAuth before the order
//	Initiate  POST   {base}/v1/payments/{product}                      exactly once
//	          POST   …/{paymentId}/authorisations                      where its links say so
//	Answer    PUT    …/authorisations/{id} (or POST …/authorisations)  one step of the payer
//	Return    POST   token endpoint, or PUT …/authorisations/{id}      a code he brought back
//	Status    GET    …/{paymentId}/status
//	          GET    …/{paymentId}/authorisations/{id}                 while the order is not final
//	          GET    …/{paymentId}                                     once executed: who paid
//	Cancel    DELETE …/{paymentId}, POST …/cancellation-authorisations
//	Funds     POST   {base}/v1/funds-confirmations
//
// Which approach an order takes is the bank's choice. Its answers say so by
// their links, and authorise.go follows them; the profile only says what we
// would like and what the bank wants first.
//
//	scaRedirect                     redirect    his browser goes there; confirmation: a code comes back
//	scaOAuth, or a login before     redirect    OAuth with PKCE, state and iss
//	none, ASPSP-SCA-Approach        decoupled   he confirms in the bank's app
//	startAuthorisationWith…,        embedded    name, password, method, code pass through us:
//	update…, select…, authorise…                in the request that relays them, and nowhere else
//
// A password that is to be encrypted for the bank (encryptedPassword) and
// proprietary data are not supported; such an order is uncertain and left.
//
// Files: adapter.go the bank and its order's state, order.go and pain.go the
// order, authorise.go what an answer asks of whom, embedded.go, oauth.go,
// token.go, cancel.go, funds.go, status.go one role each, links.go where we and
// the payer may be sent, signing.go and certificates.go our seal and what our
// certificates allow, config.go a bank's profile, client.go what every request
// carries, wire.go the messages and what the bank's refusals
// mean. What differs between banks is data in the profile, not code.
//
// # What an answer to the initiation means
//
// The standard has no idempotency: X-Request-ID names the call, not the order.
// So the one question after a failure is whether the bank may have the order.
//
//	no connection, or not one byte of the request written    unavailable
//	429; 503 with Retry-After or a standard error body       unavailable: the bank says it did not process
//	4xx (but 408, 409)                                       refused or invalid, by the message code
//	409 with a standard error body                           the same
//	everything else: lost or cut answer, 408, 3xx, 5xx, a
//	bare 503 (a proxy in front of the bank says the same
//	after it lost the bank), a 2xx that cannot be read, a
//	redirect to a place we do not know                       uncertain
//
// A 404 to a later request is not_found only with a standard error body, since
// a gateway's own 404 says nothing about the order.
//
// # What may not go wrong below us
//
// banks/courier carries each request once and knows whether a byte of it left.
// Redirects are not followed. Bodies end at 1 MiB.
//
// # Whom we believe
//
// A link is followed only beneath the bank's base, the payer is sent only to
// the profile's origins, a code goes only to the token endpoint that its login
// was made for, an answer's words are shown as plain text, and an order is what
// we ordered or it is nothing (ORDER_CHANGED).
//
// Neighbours: banks (the seam), psd2 (the vocabulary), psd2/jose (seals and
// certificates), banks/courier (the transport), banks/iso20022 (XML products); banks/bankstest proves the
// behaviour against banks/sandbox in approaches_test.go.
package berlingroup
