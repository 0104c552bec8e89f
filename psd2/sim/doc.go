// Package sim runs the whole hub in one process, in a made-up world, under
// virtual time. A seed makes the world: which banks lie, which merchants are
// down, when a process dies, when a disk refuses a commit. The same seed makes
// the same world again, step by step.
//
// # What is real
//
// psd2/hub, webhooks, psd2/store on SQLite files, the sequencer and the relay,
// two processes of them on one database, driven by the same Step functions that
// loops drive in production.
//
// # What is a model
//
//	bank.go      banks of every kind: redirect, app, code; with and without look-up
//	till.go      the merchant's own account: refunds, payouts, statement
//	payer.go     payers who double-click, leave, cancel, come back twice
//	merchant.go  merchants who retry, refund, and are down when they are told
//	operator.go  the people who decide what no bank says
//	disk.go      SQLite's driver, with commits that fail before and after
//	stream.go    NATS: loss, duplicates, lost acknowledgements, a lost disk
//	process.go   a process that dies, sleeps, or whose clock jumps
//	lease.go     who owns which job, to see that nobody else does it
//
// # How time passes
//
// One goroutine runs at a time (schedule.go). Wherever the code under test has
// to wait for the outside (a bank, an endpoint, a transaction) it hands over to
// the scheduler, which goes on with whoever is next. There, too, a process may
// die: what it was doing ends at that very point, and nothing of it reaches the
// world any more.
//
// # What must hold
//
// After a while of chaos everything is healed and time runs until nothing is
// left to do. Then check.go compares the hub's books with what the banks and
// merchants saw. Merchants have delivered again only what they refused or were
// disabled for: a delivery that the hub forgot must not be made good by them, nor
// by the hub's own search for gaps, which counts as a finding. The tests put the
// classic faults in and demand that each is found.
//
// Not in the model: torn pages and lost fsyncs below SQLite, PostgreSQL's
// concurrency (psd2/store's own tests run there), more than one question to
// banks at a time within a process, TLS and the wire formats of banks (their
// adapters' tests), logins that a bank wants before an order, recalls, the API
// and the web pages, compliance's decisions.
package sim
