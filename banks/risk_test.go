package banks

import (
	"testing"

	"github.com/rialto-hub/rialto/psd2"
)

func TestMoneyIsAtRiskOnceSentWhereNoFurtherActOfOursIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		info Info
		want bool
	}{
		"redirect":                        {Info{Approaches: []Approach{Redirect}}, false},
		"redirect, which may exempt":      {Info{Approaches: []Approach{Redirect}, RiskAtOnce: true}, true},
		"no bank: it has delegated that":  {Info{Approaches: []Approach{Redirect}, DelegatesSCA: true}, true},
		"redirect after a login":          {Info{Approaches: []Approach{Redirect}, First: psd2.PromptRedirect}, false},
		"embedded":                        {Info{Approaches: []Approach{Embedded}}, false},
		"embedded that knows the payer":   {Info{Approaches: []Approach{Embedded}, First: psd2.PromptIdentify}, false},
		"decoupled":                       {Info{Approaches: []Approach{Decoupled}}, true},
		"decoupled that knows the payer":  {Info{Approaches: []Approach{Decoupled}, First: psd2.PromptIdentify}, true},
		"decoupled after a login":         {Info{Approaches: []Approach{Decoupled}, First: psd2.PromptRedirect}, true},
		"redirect, or decoupled":          {Info{Approaches: []Approach{Redirect, Decoupled}}, true},
		"embedded, or decoupled, or page": {Info{Approaches: []Approach{Embedded, Decoupled, Redirect}}, true},
	} {
		if got := c.info.AtRiskOnceSent(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
