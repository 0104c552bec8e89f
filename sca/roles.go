package sca

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

// Roles are the roles of the people who work here, each with its rights. They
// are the operator's data: a console asks for a right by its name, and knows
// neither roles nor people.
type Roles map[string][]string

var roleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Check finds what would give a role less or more than its author meant: rights
// that no console knows, none at all, and names that cannot be kept.
func (r Roles) Check(rights []string) error {
	var errs []error
	for _, role := range r.names() {
		if !roleName.MatchString(role) {
			errs = append(errs, fmt.Errorf("role %q: a name has up to 32 small letters, digits, - and _", role))
		}
		if len(r[role]) == 0 {
			errs = append(errs, fmt.Errorf("role %q has no rights", role))
		}
		for _, right := range r[role] {
			if !slices.Contains(rights, right) {
				errs = append(errs, fmt.Errorf("role %q: there is no right %q, only %s", role, right, strings.Join(rights, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

func (r Roles) names() []string { return slices.Sorted(maps.Keys(r)) }

// rights are those of some roles. A role that is no longer there gives none.
func (r Roles) rights(roles []string) []string {
	var list []string
	for _, role := range roles {
		list = append(list, r[role]...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// list sorts roles for keeping and refuses unknown ones.
func (r Roles) list(roles []string) (string, error) {
	for _, role := range roles {
		if _, ok := r[role]; !ok {
			return "", psd2.Invalid("roles", "role_unknown", fmt.Sprintf("there is no role %q, only %s", role, strings.Join(r.names(), ", ")))
		}
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	return strings.Join(slices.Compact(roles), " "), nil
}
