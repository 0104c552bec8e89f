// Package sandbox is a small country of pretend banks: real HTTP servers that
// speak Berlin Group NextGenPSD2 1.3.12 for payment initiation, in every
// approach the standard has, and ISO 20022 with corporate customers; with
// customers, accounts, a ledger and pages of their own, and a SQLite file that
// survives a restart. Integrators point their hub at it; our own tests
// count its ledger to prove that no order is ever executed twice.
//
// One Sandbox hosts several banks, told apart by the first part of the path:
//
//	/                                   which bank does what, who banks here
//	/{bank}/v1/payments/{product}       POST                    xs2a.go; pain.001: xml.go
//	/{bank}/v1/payments/{product}/{id}  GET, DELETE
//	     …/status                       GET
//	     …/authorisations[/{id}]        POST, GET, PUT          authorise.go
//	     …/cancellation-authorisations[/{id}]
//	/{bank}/v1/funds-confirmations      POST
//	/{bank}/oauth/authorize, …/token    PKCE, iss               oauth.go
//	/{bank}/.well-known/oauth-authorization-server
//	/{bank}/pay/{token}                 the payer's pages: login, confirm   pages.go
//	/{bank}/phone/{user}                the payer's phone: codes, the bank's app, messages   phone.go
//	/{bank}/h2h/{client}/…              the channel of a corporate customer   h2h.go
//	/sandbox/personas                   GET                     operator.go
//	/sandbox/orders                     GET ?end_to_end_id= or ?payment_id=: what was received, and whether it was booked
//	/sandbox/ledger                     GET ?end_to_end_id= ?after= ?limit=
//	/sandbox/accounts/{iban}/entries    GET
//	/sandbox/{bank}/psus                POST: new customers, many at once
//	/sandbox/{bank}/switches            GET, POST: what the bank does wrong   switches.go, hostile.go
//
// An order's transactionStatus:
//
//	RCVD ─┬─ payer confirms* ┬─ ACCC (ACSC at a bank that reports no further)
//	      │                  ├─ ACSP, later ACCC or RJCT AM04     (Step)
//	      │                  └─ RJCT AM04 | AC06
//	      ├─ payer declines, five wrong passwords or codes ── RJCT CUST | PSU_CREDENTIALS_INVALID
//	      ├─ redirect lapses ── RJCT DS24
//	      └─ DELETE, authorised by him where the bank wants that ── CANC
//
//	* and, at a bank with a confirmation link, the TPP brings the code he got
//
// and its scaStatus:
//
//	redirect   received → psuAuthenticated → [unconfirmed →] finalised | failed
//	decoupled  started → finalised | failed
//	embedded   received → psuIdentified → psuAuthenticated → scaMethodSelected → finalised | failed
//
// A TPP that gave a TPP-Notification-URI is told when its order has ended
// (notify.go, delivered by Step).
//
// Like the standard, and unlike a comfortable mock, the banks do not recognise
// an order that is sent twice: two POSTs are two payments.
//
// Passwords, TOTP secrets and switches are public by purpose. A sandbox is for
// loopback and test networks; it holds nobody's data.
//
// Beside it, package psu is a payer as a program, and package trial makes a
// bank of the sandbox a target of banks/bankstest. The hub never imports any of
// them: it meets a sandbox bank over HTTP through banks/berlingroup, like any
// bank.
package sandbox
