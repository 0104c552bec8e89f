package jose

import "sync/atomic"

// Signatures are what a hub's processor time goes to, so each is counted.
var signed, verified atomic.Uint64

// Operations is how many asymmetric signatures this process has made and
// verified so far.
func Operations() (signatures, verifications uint64) { return signed.Load(), verified.Load() }
