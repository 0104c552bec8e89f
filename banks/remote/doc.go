// Package remote is the hub's side of a bank adapter that runs in a process of
// its own, in any language: each method of banks.Bank is one NATS request
// (banks/remote/adapter has the protocol and an SDK).
//
// What a failure means:
//
//	nobody listens, NATS is away, too many calls under way    unavailable
//	no answer in time, an answer that cannot be read          uncertain
//
// What the hub goes by, such as the origins to which a payer may be sent,
// stands in the registry and not in the adapter's word. A remote adapter that
// hangs, crashes or talks nonsense costs its own bank's orders some time, and
// no other bank anything: calls end with their context, and only so many are
// under way at once.
package remote
