// Package courier carries one request to a bank and says whether the bank may
// have got it. It is what banks/berlingroup, banks/sctinst and banks/vop have in
// common.
//
//	courier.go      Line.Do: one request, one whole answer, or a *banks.Error
//	sent.go         whether a byte of the request left
//	secure.go       addresses and TLS that a bank may have
//	certificate.go  what our own certificates say
//	seal.go         signed requests and answers (detached JWS)
//
// # What a failure means
//
//	no connection, or not one byte of the request written    unavailable
//	everything after that: lost, cut or endless answer       uncertain
//
// The transport speaks HTTP/1.1 only: one connection carries one request, so
// it is known whether a byte of it left; and the retries of Go's HTTP/2
// transport cannot happen. The body of a POST cannot be read twice, there is
// no GetBody and no Idempotency-Key header, so net/http never sends it again.
// Redirects are not followed, proxies not used, bodies end at Options.MaxBody.
//
// Neighbours: banks (the errors), psd2/jose (the signatures).
package courier
