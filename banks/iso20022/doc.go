// Package iso20022 writes and reads the ISO 20022 messages of SEPA Instant and
// judges whether a message keeps the scheme's rules. It is pure: bytes in,
// structs out, no I/O and no clock.
//
//	pain.001  Initiation         customer → bank   pay this
//	pain.002  InitiationStatus   bank → customer   what became of it
//	pacs.008  InterbankTransfer  bank → bank       one transfer
//	pacs.002  TransferStatus     bank → bank       ACCP or RJCT
//	pacs.028  StatusRequest      bank → bank       no answer came: what became of it?
//	camt.056  Recall             bank → bank       give it back
//	pacs.004  Return             bank → bank       here it is
//	camt.029  RecallAnswer       bank → bank       no
//	camt.053  Statement          bank → customer   the account's day
//	camt.054  Notification       bank → customer   money came in, or went out
//
// A message passes three judges, and a Fault names the one that refused it:
//
//	bytes ── xml ──→ tree ── schema ──→ typed tree ── rules ──→ structs
//	         xml.go          walk.go                  rules*.go
//
// xml.go bounds size, depth and number of elements and refuses declarations,
// second roots and split values. The folder schema describes all ten message
// definitions in a compact notation that walk.go holds the tree against.
// rules.go lists the usage rules, each with an id and one sentence; they look
// at the typed tree, so a rule about postal addresses finds every address.
//
// Write judges its own output the same way before it lets it go. Read is
// strict, or lenient towards what banks send (see Mode). Check is what the
// command rialto message check shows. Amounts are psd2.Money, never floats.
//
// Neighbours: banks/sctinst speaks these messages over the host-to-host
// channel, banks/berlingroup uses pain.001 for the XML products, banks/sandbox
// answers with them.
package iso20022
