// Package consent is the hosted page: what a payer sees between the merchant
// and his bank, in as few steps as the law asks for (RTS Art. 32(3)).
//
//	GET  /p/{token}           what I pay, and the choice of banks (?q= filters; ?other= ignores the merchant's bank)
//	POST /p/{token}           bank= binds this browser to the payment; cancel= gives it up
//	GET  /p/{token}/about     who we are, what it costs (PSD2 Art. 45)
//	GET  /pay/{id}            one page for every state of the payment
//	GET  /pay/{id}/banks      the choice of banks again
//	GET  /pay/{id}/confirm    ?bank=: the consent, and the notice that the payer leaves
//	POST /pay/{id}/confirm    the consent is given: 303 to the bank
//	POST /pay/{id}/cancel     the payer gives up
//	POST /pay/{id}/more       he needs more time
//	GET  /pay/{id}/live       server-sent events: the page is out of date
//	GET  /pay/{id}/about      as above
//	GET  /return/{attempt}    back from the bank; /return/{attempt}/failed after a failure
//	GET  /static/…            assets
//
// The link token is a capability that is spent by the first POST, never by a
// GET: link previews and prefetches consume nothing. That POST binds the one
// browser that may act, by a cookie of the payment's own; from then on the
// token is in no URL. Whoever comes without the cookie, from a callback or a
// shared link, is sent back to where the payment was started, and nothing is
// executed.
//
// A consent is a ticket: a nonce, which the hub spends once, and a MAC with
// the browser's secret over everything the payer was shown. It is at once the
// CSRF token, and void when amount, payee, account, reference or bank are not
// what was shown (RTS Art. 5(1)). The other forms carry a MAC of their own.
//
// Nothing here decides about money. A callback is no proof: the hub asks the
// bank. Each page's first sentence says whether money has moved.
//
// Where the hub asks for a confirmation of its own, POST …/confirm leads to
// /sca/pay/… and that room leads back to /pay/{id}, which says how it ended
// (confirmation.go); the order still goes by a consent of its own. POST …/enrol
// after a payment leads to the payer's own factors. A browser he has paid from
// is known by a cookie and a key of its own (familiar.go): that lowers risk and
// is never a factor.
//
// Neighbours: psd2/hub acts, sca authenticates, psd2/page gives the look, psd2/edge the plumbing;
// psd2/bus tells, through Deps.Watch, that a payment has changed.
package consent
