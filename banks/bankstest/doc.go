// Package bankstest holds the behaviour every bank adapter must show, whatever
// protocol it speaks, as a list of named checks. They are run from a test
// (Run), and by anybody who has an adapter to certify (Exercise).
//
// A check talks to a real bank through a Proxy, a real TCP server that counts
// what the adapter sends and can refuse, cut, hold, reset, replace and bloat
// answers, so that faults lie beneath the adapter and not in a mock of it. What
// really happened is read from the bank's own ledger.
//
//	adapter ──HTTP──→ Proxy (counts, faults) ──HTTP──→ bank ←── ledger, payer
//
// No adapter may be excused from the one-request, lost-answer and finality
// checks; the others are skipped only where a Target has no means for them or
// the adapter lacks the role, and a skip says so.
//
// Neighbours: banks (the seam). The suite knows no protocol: what depends on
// one, the Target gives.
package bankstest
