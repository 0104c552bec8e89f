// Package adapter is the stranger's side of a bank adapter that runs in a
// process of its own, in Go: implement banks.Bank (and its optional roles) and
// serve it.
//
//	conn, err := nats.Connect(url, nats.UserInfo("sandbank", password))
//	stop, err := adapter.Serve(conn, myBank, adapter.Options{})
//
// # The protocol, for every other language
//
// The hub sends NATS requests to rialto.bank.ID.OP, where ID is the bank's id
// in the hub's registry and OP one of
//
//	info prepare initiate answer return status cancel find funds probe
//
// Subscribe to rialto.bank.ID.* in the queue group "adapter", so that of several
// processes one gets each request, and answer each request once. Both sides are
// JSON documents: Request and Reply in wire.go. A request carries timeout_ms;
// an answer that comes later is not read. What the hub cannot tell apart it
// takes for the worst: no answer to "initiate" means that the bank may have the
// order. So an adapter answers "unavailable" whenever it is certain that the
// bank has not received anything, and never sends an order twice.
//
// An adapter that serves by NATS' own service protocol (nats micro) is found
// and counted by the usual tools; Serve does.
//
// Passwords and codes of payers pass in "answer". They must not be logged or
// kept.
package adapter
