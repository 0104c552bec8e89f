// Package bus carries word of what happened from the journal to whoever wants
// to know, over NATS. It is transport, never truth: a message holds ids and a
// position, and who receives one reads the journal. Nothing is lost with the
// whole JetStream directory; nothing personal can be read in it.
//
//	journal ──Relay──▶ stream EVENTS   rialto.events.<merchant>.<type>.<object>
//	                      ├─▶ Follower   a durable consumer per role: how far the journal has got
//	                      └─▶ Watch      a page that shows one payment
//	webhooks ─Nudge──▶ subject         rialto.deliveries.<endpoint>   to the process that delivers there
//
// A type's dot is written as "_" in the subject. Every id is checked before it
// becomes a subject token (see token). The message id is the event's, so that
// JetStream drops what is published twice within its window; consumers go by
// position and need no window.
//
// EVENTS is kept in files with every write synced (or, in a cluster, on three
// nodes); a hub does not start on a stream that some other tool made
// asynchronous. Rebuild makes the stream anew from the journal. Deliveries
// are no stream: what is to be delivered stands in the database, and a second
// persistent queue beside it would be a second truth at the price of two more
// syncs per delivery.
//
// With no URL the server is embedded: it keeps its files in a directory, is
// reached in process only and listens nowhere. Files of it that are damaged are
// mended when it starts, from the journal (mend.go).
//
// Neighbours: psd2/store gives journal, cursor and lease; webhooks and
// compliance follow, psd2/consent and psd2/ops watch.
package bus
