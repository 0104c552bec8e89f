// Package rulebook is how rules change: as reviewed, signed and versioned
// artefacts, never in place.
//
//		draft ──backtest over stored history──▶ (tested) ──▶ shadow on live traffic ──second person──▶ published ──▶ retired
//		  └──────────────────────────────────────────────────────┴──▶ withdrawn
//
//	  - A set is a whole catalogue (compliance/rules). It never changes after it
//	    was drafted: another thought is another draft, against what is in force
//	    then. What a draft was made against must still be in force when it is
//	    published.
//	  - A backtest judges stored transactions by both sets and gives what a page
//	    draws: alerts by day and rule, decisions that would have been others, and
//	    how many of what officers have decided each would have found.
//	  - In shadow the set's verdicts on live transactions are recorded beside the
//	    decisions. It raises no alert and stops nothing.
//	  - Who drafted does not publish, not in another session and not with another
//	    account that shares his credential. The desk's chain notes every step.
//	  - Publication signs a manifest that pins the catalogue's hash, its number
//	    and who did it. Every process compares the revision before it judges, and
//	    uses a set only if its signature holds and its number is no older than
//	    what it used before; otherwise it goes on with what it has, and says so.
//	  - A set may let the fraud score raise alerts: it names the model's version,
//	    which must have watched live traffic before, and from which score on. A
//	    backtest counts what that version has said in shadow.
//	  - Every hit names its rule's version; Replay finds the set that holds it.
//
// The catalogue that ships is set number 1, published by the release itself; a
// newer release's takes its place unless officers have published their own.
//
// Tables: rulebook_* of migration 0010. Neighbours: compliance/rules (judges),
// compliance/monitor (asks Current, records Verdicts, gives the History),
// compliance (who the officers are; the chain).
package rulebook
