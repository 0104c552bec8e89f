// Package compliance is the officers' desk: alerts become cases, cases are
// worked by one person and decided by two, suspicion becomes a report to the
// FIU, money out waits meanwhile, and everything anyone does is a row of a
// chain that cannot be changed unseen.
//
// # The life of a case
//
//	new → triaged → investigating ⇄ awaiting_info
//	                      │
//	    proposed_{false_positive, no_suspicion} ─ second person approves → closed
//	    proposed_sar ─ second reporting officer approves → sar_exported
//	                      │ the FIU's reference is entered
//	                  sar_filed → (third working day has passed) → released | blocked
//
// A second person may also return a proposal, whoever made it may withdraw it,
// and an ended case may be reopened; its history stays. workflow.go holds all
// guards, so no page and no program can go round them: who proposed does not
// approve, not even in another session or with another passkey of his own; a
// stale version is a conflict that names who was faster, and when.
//
// Cases that are one matter are joined, one that is two is split (join.go).
//
// # Money that waits
//
// A rule holds one payout: an officer proposes to let it go or to refuse it, a
// second decides, and the end of its case ends it too. A report of suspicion
// holds all money out of everybody the case is about, under every number he has
// at any merchant, until a reporting officer releases or blocks it. What is
// refused or blocked fails as payment_not_possible; nothing waits for ever, for
// that would tell.
//
// # What is kept, and what is erased
//
// Rules' inputs, notes, drafts and reports are sealed with a key per subject (a
// person, or an entity that is none), wrapped by the deployment's key. They are
// kept five years after the last case ended (GwG §8(4)) unless a legal hold
// says longer; then the key is destroyed. The audit chain holds ciphertexts and
// their hash, so it verifies before and after. These keys are not those of
// psd2/store: a person's right to be forgotten by the hub does not end a duty
// to keep.
//
// # Order in the queue
//
// Each point of score counts like half an hour of waiting, so that the order
// of two cases never changes by itself, and an index can hold it.
//
// Neighbours: psd2/store keeps the tables, psd2/jose signs checkpoints and the
// reports of screening runs, compliance/goaml writes what the FIU reads,
// compliance/console shows it all. What raises alerts hands them to Desk.Raise;
// what pays money out asks Desk.Standing.
package compliance
