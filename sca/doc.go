// Package sca is Rialto's own strong customer authentication: people and their
// factors, challenges that are bound to an amount and a payee, the policy that
// says when one is needed, and receipts that prove one offline.
//
// In redirect and decoupled flows the bank authenticates the payer; what is
// here is the hub's step-up, the authentication where a bank delegates it, and
// the sign-in of the people who work in the consoles. Only with delegation is
// it the authentication the law asks for, and the policy's answer says so.
//
// # A challenge
//
//	Require ──▶ none | any | strong | passkey | block      (policy.go; kept with its inputs and rules: decision.go)
//	Begin   ──▶ open: link hash and displayed text frozen  (linked.go, display.go)
//	Renew   ──▶ the same in a new one, with more time      (renew.go)
//	Answer  ──▶ approved | declined | reported | cancelled (answer.go, push.go)
//	Recheck ──▶ approved still and used up, or void        (right before the order goes to the bank: one order)
//	Receipt ──▶ a JWS over all of it                       (receipt.go)
//
// What is shown names the shop as it was registered, and a confirmation from
// another country than the browser it was asked for in does not suffice by itself
// (country.go): somebody may have been made to scan another's QR code.
//
// Where nothing is asked here and the bank alone authenticates the payer, the
// follower of the journal gives the payment a receipt that says so, with what the
// hub saw (bankreceipt.go). Payees a person trusts (RTS Art. 13) are his own list
// at his factors (trust.go); with the other exemptions it is a hint to the bank.
//
// open ends once: approved, declined, reported ("this wasn't me"), cancelled
// (wrong number, or by the payer), expired or void (amount or payee changed).
//
// # Rules that hold everywhere
//
// A try is counted, and the count committed, before anything is compared. Five
// failures in a row block a person's method over all payments, processes and
// addresses, each block longer than the last. Only who holds the browser
// session a challenge is bound to can make a try, so outsiders lock nobody out.
// Every refusal is the same error. What may be used once is used through
// store.Tx.Consume: steps and digits of TOTP, WebAuthn challenges, push
// answers, recovery codes, links.
//
// Secrets are sealed with the person and the factor as additional data: copied
// to another row they do not open.
//
// Neighbours: psd2/hub asks through Service, sca/app has the pages,
// psd2/ops and compliance/console sign their people in through Staff and ask it
// for rights; which role has which is the operator's data (roles.go).
package sca
