// Package monitor watches every transaction of the hub by the rules of compliance/rules.
//
//		journal ──MarksFrom───▶ Monitor.Step ──▶ facts ──▶ history (database) ──▶ judgement ──▶ decision, hits, Alerts.Raise
//		hub ──▶ Gate.Deposit, Gate.Transfer (before money moves) ──▶ verdict: ALLOW, STEP_UP, HOLD, BLOCK
//
//	  - The consumer is whoever holds the lease. The facts, the decision, the hits, the alerts they raise and the cursor are one
//	    transaction, so a process that dies loses nothing and doubles nothing; an event that comes again finds its revision known.
//	  - Nobody waits for the judging: the past is read and the rules look outside a transaction, a whole batch at once, each transaction
//	    once. What came of it is written only if what is remembered still has the revision that was read; else it is judged anew.
//	  - What changes nothing that rules see, accepted becoming settled, say, is remembered and not judged again.
//	  - A transaction has exactly one decision. It is made when money is accepted or the transaction has ended; later facts (the holder of
//	    the account, say) may add hits to it. What never gets that far is decided by the sweeper, and a metric counts what is undecided.
//	  - A transaction that came late is judged, and so are those after it that were judged without it: the first hundred at once, the rest by
//	    the sweeper. A hit that becomes graver by that is told to the officers again. A merchant's hour that changes is judged again too.
//	  - What is refused was judged by all rules and keeps what they found; having failed, it is decided by that.
//	  - Of what was allowed without a hit, Samples draws some, with the line each came nearest to.
//	  - The gate only reads. It judges by all rules every time, so its time says nothing; what compliance decides leaves the house as
//	    payment_not_possible, except limit_exceeded, own_account_required and kyc_required, which are the player's to know. When the state
//	    cannot be read, money out is held and money in is refused, or let through where the operator says so.
//	  - Money out is judged by all that was committed before it: until the consumer has read so far, the gate says ErrBehind and the transfer
//	    waits. Who pays in and straight out again is neither let go, nor held, for want of the deposit.
//	  - Which rules judge is asked of the rulebook before every judgement, so that a publication counts at once in every process. A set in
//	    shadow judges as well: its verdicts are recorded, and nothing else. A set that is not what was signed is refused, and the last stays.
//	  - The model of compliance/score looks at what the rules look at; its score and what moved it stand with the alert, its drift in the
//	    metrics. It only watches, until a published rule set names its version: from then on a score above the set's line is a hit of the
//	    family "model", which alerts and never stops anything. Every version that has watched is kept, to act and to be judged by again.
//	  - What is five years old goes (keep.go), unless a legal hold or an open case keeps it; erasure takes at once what the law does not keep.
//	  - Nothing kept here names anybody: keys are keyed hashes, and what is personal stays sealed with the payment.
//
// Tables: monitor_* of migrations 0006, 0010 and 0021, and two cursors. Neighbours: compliance (the desk that takes alerts), compliance/rulebook (what is in
// force), compliance/screening (results of screening), psd2/store (journal, payments), psd2/hub (which asks the gate through an interface
// of its own).
package monitor
