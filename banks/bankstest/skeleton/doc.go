// Package skeleton is the smallest adapter that passes the suite of all
// adapters: a bank that takes an order, sends the payer to its pages, and says
// what became of it. It is not used by the hub; copy it and change it
// (banks/README.md).
//
//	Initiate  POST {base}/v1/payments/{product}               exactly once
//	Status    GET  {base}/v1/payments/{product}/{id}/status
//
// Files: adapter.go the methods, config.go the bank's profile, client.go one
// call and what its failures mean, wire.go the messages.
//
// Neighbours: banks (the seam), banks/courier (the transport), psd2 (the
// vocabulary). For a bank that does more, see banks/berlingroup.
package skeleton
