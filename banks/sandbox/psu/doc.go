// Package psu is a payer as a program. Walk opens the address a bank gave as
// scaRedirect, fills in the bank's forms as a browser would (no JavaScript,
// cookies from the client's jar) and stops at the redirect that leaves the
// bank. Nothing of a particular bank is built in: fields are found by what
// they ask for (the autocomplete tokens of HTML: username, current-password,
// one-time-code), buttons by their value.
//
// Confirm answers what a bank's app asks on the payer's phone, Credentials.Say
// what a bank asks through somebody else: so there is a payer for every approach.
//
// Operator speaks to a sandbox's operator interface: new customers, switches,
// the ledger. The demo, the benchmark and the kill tests use both.
//
// It imports nothing of ours, so that it checks the sandbox from outside.
package psu
