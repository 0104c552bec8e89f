// Package rules judges transactions: it holds the rule catalogue R01–R36 as data and turns what is known of one transaction, and of the
// past of those who take part in it, into a verdict that can be replayed years later.
//
// It is pure: no database, no network, no clock. The way of a transaction is
//
//		Fact ──┐
//		       ├─▶ features (exact sliding windows) ─▶ expressions ─▶ Judgement {hits, no_data, score, action}
//		History┘                                                          │
//		                                              Hit {rule, version, inputs} ──Replay──▶ the same hit
//
//	  - A Fact says what is known of the transaction. Who takes part is named by keys (keyed hashes in a running hub), so that neither a
//	    Fact nor anything derived from it holds a name or an account number.
//	  - A History is the past of the fact's player, person, account, device and network. Memory keeps it in memory; compliance/monitor
//	    keeps the same in the database. What is judged sees everything up to its own moment, in order of time and id, whatever order it
//	    came in.
//	  - Features, rules, limits and profiles are data (catalogue.yaml): an officer adds a rule without a programmer. Expressions are
//	    expr-lang over a typed environment, without loops or functions, and limited in size.
//	  - A rule has one of three outcomes: hit, silent, or no_data when something it needs is not there. Silence is never guessed.
//	  - Country lists are dated (lists.yaml), GeoIP, ASN, VASP and mule lists are the operator's own files (Sources).
//
// Backtest runs a recorded stream through the same engine. The neighbours are compliance/names (whose comparison decides whether a
// holder is the player), compliance/monitor (the journal's consumer and the gate) and compliance/score (the model over the features).
package rules
