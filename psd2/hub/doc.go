// Package hub holds the use cases: start a payment, let the payer authorise it
// at his bank, follow it to its end, cancel it. It is the only caller of bank
// adapters and the only writer of payments.
//
// # The one call that may move money
//
// Authorise commits the attempt first, then calls Bank.Initiate exactly once,
// then commits the answer; no transaction is open during the call. The payer
// gets the bank's link only after the answer is committed. So whatever dies in
// between, an order whose link was never handed out is abandoned, and one
// whose link was handed out is followed until the bank says what became of it.
//
// # Following
//
// Step looks at payments that are due: it asks the bank, ends what ran out of
// time, and leaves to psd2's state machine what that means. The payer's return
// only makes it look sooner. A bank that does not answer makes a payment
// unknown, never failed.
//
// # Money out
//
// Refunds and payouts (refund.go, payout.go) are created in the caller's
// transaction and carried by StepTransfers (carry.go): the payee's bank is
// asked for the name, compliance for leave, the intent is committed, and then
// Channel.Pay is called exactly once. Every doubt makes a transfer unknown.
// Only Channel.Find and the statement settle it: "not found" proves that an
// order never arrived while the bank would still know it, and never after.
//
// # Deciding
//
// What a bank does not say for an hour, two people may decide in its place
// (decide.go): one proposes, another approves, and the journal of it
// (decisions.go) is only added to. The bank's own word is believed whenever it
// comes, and counted when it contradicts them.
//
// # Statements
//
// StepStatements (statements.go) reads payee accounts. Each entry is put into
// its class by EndToEndId, settles the deposit or transfer it belongs to, tells
// who paid, and is posted to the ledger, whose other side is what the journal
// says was executed. What the two do not explain of the balance shows.
package hub
