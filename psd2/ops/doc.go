// Package ops is the operator's room: he looks payments up, reads one
// payment's whole story, sees which outcomes are unknown and how the banks do.
// It shows; it changes nothing.
//
//	GET  /                     303 to /payments
//	GET  /login                the operator token is asked for (?next= a page of ours)
//	POST /login                token= opens a session
//	POST /logout               ends it
//	GET  /payments             the newest payments (?state= one of psd2.States)
//	GET  /payments/{id}        facts, attempts, journal, webhooks, what the payer saw
//	GET  /payments/{id}/live   server-sent events: the story has changed
//	POST /search               q= payment id, attempt id, EndToEndId, reference or IBAN
//	GET  /search               303 to /payments
//	GET  /banks                availability, reason and latency of each bank
//	GET  /static/…             assets
//
// A search term may be personal, so it travels in a form's body and the answer
// to that post is the result: no URL, log, history or Referer ever holds one,
// and no page repeats one that is not an id of ours. Templates get masked
// values only (view.go); nothing here can show a whole IBAN or a payer's name.
//
// Until people can sign in, the deployment's operator token opens a session.
// A session is a random cookie whose hash this process keeps in memory: it
// ends after 15 idle minutes, after 8 hours, at logout, and when the process
// ends. Several processes behind one name need sticky sessions.
//
// Neighbours: psd2/store and psd2/hub are read, psd2/bus says when a payment
// changes, psd2/page gives the look, psd2/edge the plumbing. The deliveries of
// webhooks come through the interface Deliveries, which cmd adapts.
package ops
