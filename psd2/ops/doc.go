// Package ops is the operators' room: they look payments and transfers up, read
// one's whole story, see how the banks do, and decide under four eyes what
// became of orders whose banks do not say. That is all they can change, and
// psd2/hub holds the rules of it; nothing is ever sent from here.
//
//	GET  /                     303 to /payments
//	GET  /payments             the newest payments (?state= one of psd2.States)
//	GET  /payments/{id}        facts, attempts, journal, webhooks, what the payer saw
//	GET  /payments/{id}/live   server-sent events: the story has changed
//	POST /search               q= payment id, attempt id, EndToEndId, reference or IBAN
//	GET  /search               303 to /payments
//	GET  /transfers[/{id}]     refunds and payouts (?state=); one's story, with recall and statement
//	GET  /transfers/{id}/live  as for payments
//	GET  /unknown              what is undecided, by age or (?by=amount) by amount
//	POST /decisions            object= verdict= reason= evidence= proposes
//	POST /decisions/{id}/approve, /decisions/{id}/return   by somebody else
//	GET  /recalls              what other banks want back and no deposit belongs to
//	GET  /banks                availability, health windows and the measure of RTS Art. 33
//	GET  /webhooks             the endpoints of all merchants and how they do
//	GET  /static/…             assets
//
// A search term may be personal, so it travels in a form's body and the answer
// to that post is the result: no URL, log, history or Referer ever holds one,
// and no page repeats one that is not an id of ours. Templates get masked
// values only (view.go); nothing here can show a whole IBAN or a payer's name.
//
// People sign in through the interface Staff, which cmd adapts to package sca;
// there is no other way in. Their rights say who may read and who may decide.
//
// Neighbours: psd2/store and psd2/hub are read, psd2/bus says when a payment
// changes, psd2/page gives the look, psd2/edge and psd2/room the plumbing. What
// merchants were told comes through the interface Webhooks, which cmd adapts.
package ops
