// Package psd2 is Rialto's vocabulary: what a payment is, which states it can
// be in, and which of them a bank's answer leads to. It does no I/O, reads no
// clock and imports the standard library only, so that every rule in it can be
// tested by calling a function.
//
// Read it in this order: payment.go (what we keep about a payment), state.go
// (how we may change it), report.go (how a bank's answer does), schedule.go
// (when to look again), event.go (what we tell others), bankstatus.go (what the
// banks' codes mean), then money.go, iban.go, id.go and error.go. Money that goes
// out is a Transfer (transfer.go, transferstate.go, recall.go); what statements
// show of it all is in statement.go.
//
//	authorization_required ⇄ authorizing → authorized → executed → settled
//	          │                  │   ↘        ↙  │
//	          └──────────────→ failed  outcome_unknown
//
// Neighbours: psd2/store keeps these types, psd2/hub changes them, banks
// speaks to the ASPSPs in them, everything else reads them.
package psd2
