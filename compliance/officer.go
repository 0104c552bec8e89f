package compliance

import (
	"slices"

	"github.com/rialto-hub/rialto/psd2"
)

// Role is what an officer may do.
type Role string

// Roles. They do not include each other: an administrator who shall also decide
// cases is given both.
const (
	Viewer  Role = "viewer"  // reads, masked, nothing about reports of suspicion
	Analyst Role = "analyst" // works cases, proposes and approves their closing
	MLRO    Role = "mlro"    // the money laundering reporting officer and his deputies (GwG §7)
	Admin   Role = "admin"   // retention, legal hold, erasure, audit
	Auditor Role = "auditor" // the audit chain and holds, changing nothing; notes stay sealed
)

// Officer is a signed-in person.
type Officer struct {
	ID    string
	Name  string // as colleagues know him
	Roles []Role
	// Credential names the authenticator of this session. Two people are two
	// ids and two credentials: one passkey shared by two accounts is one pair
	// of eyes.
	Credential string
}

// Has reports whether the officer has one of the roles.
func (o Officer) Has(roles ...Role) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(o.Roles, r) })
}

// same reports whether two sessions may be one pair of eyes.
func (o Officer) same(id, credential string) bool {
	return o.ID == id || o.Credential != "" && o.Credential == credential
}

// must fails when the officer has none of the roles.
func (o Officer) must(roles ...Role) error {
	if o.ID == "" {
		return psd2.Fail(psd2.CodeUnauthorized, "officer_unknown", "nobody is signed in")
	}
	if !o.Has(roles...) {
		return psd2.Fail(psd2.CodeForbidden, "role_missing", "your role does not allow this")
	}
	return nil
}
