// Package webhooks tells merchants what happened: every event of their
// payments, at least once, under one id, in order within a payment, signed
// anew at each try.
//
//	journal ──fan-out──▶ webhook_deliveries ──dispatch──▶ POST ──record──▶ webhook_deliveries
//	         one process,   one row per         the process that      many outcomes
//	         by position    endpoint and event  owns the endpoint     in one transaction
//
//	pending ──2xx──▶ delivered        pending ──410, abort, schedule over──▶ failed
//	   ▲ └─anything else─┐               delivered, failed ──Resend──▶ pending
//	   └──next_at────────┘
//
// The fan-out goes by journal position and moves its cursor in the transaction
// that writes the rows: the store's own word of a commit wakes it at once, and
// word from NATS otherwise, so a NATS that lost everything loses no webhook and a
// slow one delays none. Endpoints are shared out among processes by
// leased shards; of one endpoint exactly one process delivers. Each endpoint has
// its own queue and slots: one that is slow, dead or talkative delays nobody
// else, and a merchant's flood at many endpoints delays no other merchant
// (backlog.go). Within a payment a later event waits behind a failing earlier one, at
// most five minutes, then goes ahead with its sequence; that holds in memory
// (queue.go) and for a backlog of any size (order.go).
//
// An endpoint that answers 429, 502, 503 or 504 is left alone for longer each
// time. One that gets nothing but failures uses up a budget of 120 hours and is
// then disabled. At 50, 70, 90 and 100 percent of it, and when somebody changes
// an endpoint's address or keys, an event is written to the journal, which tells
// the merchant's other endpoints, and people are told (notice.go, Notifier). What it missed is replayed from the journal
// (ReplayIn), however old; what became of events is kept for 90 days
// (retention.go). gaps.go compares the journal with the deliveries and makes
// what is missing.
//
// Deliveries follow Standard Webhooks 1.0.0 (webhook-id, webhook-timestamp,
// webhook-signature with v1 and v1a) and carry Rialto-Signature, a detached JWS
// by the hub's key over the same bytes. Addresses are checked when they are
// registered and again at every dial (guard.go), through a forward proxy too
// (proxy.go).
//
// The work is a few steps that a loop or a test drives: see Service.Workers.
//
// Neighbours: psd2/store has journal, leases and sealing; psd2/bus wakes us;
// psd2/jose signs; webhooks/verify is the receiver's side and the one
// definition of the format; psd2/api changes endpoints in its own transactions
// (manage.go), cmd puts the configured ones.
package webhooks
