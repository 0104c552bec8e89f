// Package app is where a person enrols his factors and answers with them: the
// pages of passkeys, the authenticator app, recovery codes and the push device,
// which is an installable web app (a PWA).
//
// For payers, under the hosted page's origin:
//
//	GET/POST /sca/enrol/{token}             a one-time link to one's own factors; the POST spends it
//	GET  /sca/factors                       one's factors; POST …/rename, …/revoke; /sca/unblock, /sca/stay, /sca/out
//	GET  /sca/verify                        prove yourself before a change; POST code, passkey, push, …/more
//	POST /sca/passkey, /sca/totp, /sca/recovery, /sca/pair   add one; …/confirm
//	GET  /sca/pay/{payment}/{challenge}     confirm a payment; POST …/code, …/passkey, …/push, …/phone, …/back, …/more, …/cancel; …/live
//	GET/POST /sca/phone/{token}             go on with the phone
//	GET  /sca/device                        the push app; /sca/device/… its interface, manifest and worker
//	GET  /sca/receipt                       checks a receipt in the browser; /sca/receipt/keys
//
// For people who work here, under the consoles' origin, the same pages for
// their own factors, and
//
//	GET/POST /staff/login                   passkey, or password and code; POST /staff/logout
//
// Tokens that come in a link are spent by a POST, never by a GET, and are in no
// address after it. The push device's token comes behind a "#", which browsers
// keep to themselves. Everything that needs no key works without JavaScript.
//
// Every POST must say that it comes from this very origin, JSON or form.
//
// Neighbours: sca decides and keeps; psd2/consent leads a payer here and takes
// him back (Deps.Bound, Deps.Done).
package app
