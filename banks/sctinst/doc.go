// Package sctinst is a merchant's own account at his bank, reached by a
// host-to-host channel that speaks ISO 20022: what refunds and payouts are
// sent through, and what deposits are reconciled against. It is a
// banks.Channel.
//
//	Pay           POST {base}/payments                pain.001 → pain.002       exactly once
//	Find          POST {base}/inquiries               pacs.028 → pain.002       by our own references
//	Recall        POST {base}/recalls                 camt.056 → 202, camt.029 or pacs.004
//	RecallStatus  GET  {base}/recalls?id=             the same answers
//	Bookings      GET  {base}/notifications?after=    camt.054
//	Balance       GET  {base}/statements/latest       camt.053
//	Statement     GET  {base}/statements/{day}        camt.053
//
// Files: adapter.go Pay and Find, recall.go the recalls, booking.go what the
// account shows, config.go a channel's profile, client.go the signed exchange,
// message.go the messages we write.
//
// # What an answer means
//
// Every request is signed, and so is every answer, over its status, our
// X-Request-ID and its body (banks/courier). An answer that is not signed by
// the bank, or answers another request, is not believed, whatever it says.
//
//	nothing was written to a connection               unavailable
//	lost, unsigned, cut, unreadable, about another
//	order, 5xx                                        uncertain
//	signed 429, 503                                   unavailable: the bank did not take it
//	signed 404                                        not_found
//	signed 4xx                                        invalid
//	pain.002 with a status                            that status, RJCT too
//	pain.002 RJCT AM05 to a payment                   uncertain: the bank has our
//	                                                  references already; ask what became of them
//	pain.002 RJCT AG09 to an inquiry                  not_found where the profile says that the
//	                                                  bank then never takes the order, else uncertain
//
// The bank refuses a MsgId or EndToEndId it has seen within Config.DedupWindow.
// That only ever forbids: Pay is never repeated, inside the window or after it.
//
// Written is strictly what banks/iso20022 lets pass. Read are pain.002 and
// camt leniently; what was passed over is counted and logged.
//
// Neighbours: banks (the seam), banks/courier (the transport),
// banks/iso20022 (the messages); banks/bankstest holds the behaviour every
// channel must show.
package sctinst
