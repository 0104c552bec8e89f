// Package monitor watches every transaction of the hub by the rules of compliance/rules.
//
//		journal ──EventsFrom──▶ Monitor.Step ──▶ facts ──▶ history (database) ──▶ judgement ──▶ decision, hits, Alerts.Raise
//		hub ──▶ Gate.Deposit, Gate.Transfer (before money moves) ──▶ verdict: ALLOW, STEP_UP, HOLD, BLOCK
//
//	  - The consumer is whoever holds the lease. The facts, the decision, the hits, the alerts they raise and the cursor are one
//	    transaction, so a process that dies loses nothing and doubles nothing; an event that comes again finds its revision known.
//	  - A transaction has exactly one decision. It is made when money is accepted or the transaction has ended; later facts (the holder of
//	    the account, say) may add hits to it. What never gets that far is decided by the sweeper, and a metric counts what is undecided.
//	  - A transaction that came late is judged, and so are those after it that were judged without it.
//	  - The gate only reads. It judges by all rules every time, so its time says nothing; what compliance decides leaves the house as
//	    payment_not_possible, except limit_exceeded, own_account_required and kyc_required, which are the player's to know. When the state
//	    cannot be read, money out is held and money in is refused, or let through where the operator says so.
//	  - Nothing kept here names anybody: keys are keyed hashes, and what is personal stays sealed with the payment.
//
// Tables: monitor_* of migration 0006. Neighbours: compliance (the desk that takes alerts), psd2/store (journal, payments), psd2/hub
// (which asks the gate through an interface of its own).
package monitor
