package psu

import (
	"fmt"
	"slices"
	"time"
)

// MethodApp is the sandbox's method of authentication whose codes come from the
// customer's authenticator; Say chooses it.
const MethodApp = "app"

// Said is what a payer answers to somebody who relays his bank's questions.
type Said struct{ User, Password, Method, Code string }

// Say answers a question that a bank asks through somebody else (embedded, or
// decoupled before it asks in its app): what is asked, "identify", "password",
// "method" or "code", and for "method" the ids to choose from.
func (c Credentials) Say(asked string, methods []string, now time.Time) (Said, error) {
	switch asked {
	case "identify":
		return Said{User: c.User}, nil
	case "password":
		return Said{User: c.User, Password: c.Password}, nil
	case "method":
		if !slices.Contains(methods, MethodApp) {
			return Said{}, fmt.Errorf("psu: the bank does not offer the method %q", MethodApp)
		}
		return Said{Method: MethodApp}, nil
	case "code":
		code, err := TOTP(c.TOTPSecret, now)
		return Said{Code: code}, err
	}
	return Said{}, fmt.Errorf("psu: nobody answers to %q", asked)
}
