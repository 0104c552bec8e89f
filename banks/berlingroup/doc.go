// Package berlingroup speaks NextGenPSD2 1.3.12 to a bank: payment initiation
// in JSON with the redirect approach and implicit authorisation.
//
//	Initiate  POST   {base}/v1/payments/{product}                      exactly once
//	Status    GET    …/{paymentId}/status
//	          GET    …/{paymentId}/authorisations/{id}                 while the order is not final
//	          GET    …/{paymentId}                                     once executed: who paid
//	Cancel    DELETE …/{paymentId}
//
// Files: adapter.go the roles of banks.Bank, config.go a bank's profile,
// client.go the transport and what its failures mean, wire.go the messages and
// what the bank's refusals mean. What differs between banks is data in the
// profile, not code.
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
// The transport speaks HTTP/1.1 only: one connection carries one request, so
// it is known whether a byte of it left; and the retries of Go's HTTP/2
// transport cannot happen. The body of a POST cannot be read twice, there is
// no GetBody and no Idempotency-Key header, so net/http never sends it again.
// Redirects are not followed. Bodies end at 1 MiB.
//
// Neighbours: banks (the seam), psd2 (the vocabulary); banks/bankstest proves
// the behaviour against banks/sandbox in conformance_test.go.
package berlingroup
