package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// How a hit came out.
const (
	hitSame   = "same"
	hitOther  = "other"
	hitCannot = "cannot"
)

// provenHit is a hit of the file, judged again.
type provenHit struct {
	ID      string `json:"id"`
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Result  string `json:"result"`
	Why     string `json:"why,omitempty"`
}

// alertVerdict is what "rialto verify alert --json" prints.
type alertVerdict struct {
	Alert   string      `json:"alert"`
	Hits    []provenHit `json:"hits"`
	OwnKeys bool        `json:"own_keys"` // the file's own keys were believed
}

// verifyAlert is "rialto verify alert": it judges every hit of an alert's file
// again, by the signed rules in it. That the hub raised these hits is for its
// audit chain to say.
func verifyAlert(e env, args []string) error {
	f := flags(e, "verify alert")
	keyFile := f.String("keys", "", "JWKS of the hub, from a place you trust; without, the file's own keys are believed")
	lists := f.String("lists", "", "folder with the sanctions lists of that day: hits on them are judged again too")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	keys, file, err := openSigned(f.Arg(0), *keyFile)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	proof, err := rulebook.ReadProof(file)
	if err != nil {
		return err
	}
	v := alertVerdict{Alert: proof.Alert, OwnKeys: keys == nil}
	if keys == nil {
		if keys, err = jose.ParseJWKS(proof.Keys); err != nil {
			return err
		}
	}
	var list *names.List
	if *lists != "" {
		if list, err = names.LoadDir(*lists); err != nil {
			return err
		}
	}
	wrong := 0
	for _, h := range proof.Hits {
		one := judgeProven(proof, h, keys, list)
		if one.Result == hitOther {
			wrong++
		}
		v.Hits = append(v.Hits, one)
	}
	if err := tell(e, *asJSON, v, func(io.Writer) { printAlert(e, v) }); err != nil {
		return err
	}
	if wrong > 0 {
		return errFinding
	}
	return nil
}

func judgeProven(p *rulebook.Proof, h rulebook.ProvenHit, keys *jose.PublicKeySet, list *names.List) provenHit {
	one := provenHit{ID: h.ID, Rule: h.Rule, Version: h.Version, Result: hitSame}
	err := p.Check(h, keys)
	var in screening.Inputs
	if errors.Is(err, rulebook.ErrNotARule) {
		one.Result = hitCannot
		switch {
		case h.Inputs == nil || json.Unmarshal(h.Inputs, &in) != nil || in.ListHash == "":
			one.Why = "no rule of a set made it, or its person was erased"
			return one
		case list == nil:
			one.Why = "it is a hit on a list: give its folder with --lists"
			return one
		case list.Hash != in.ListHash:
			one.Why = "these lists are not those that it was made with"
			return one
		}
		one.Result = hitSame
		_, err = screening.Replay(list, h.Inputs)
	}
	if err != nil {
		one.Result, one.Why = hitOther, err.Error()
	}
	return one
}

func printAlert(e env, v alertVerdict) {
	counts := map[string]int{}
	for _, h := range v.Hits {
		counts[h.Result]++
		if h.Why != "" {
			fmt.Fprintf(e.stdout, "%s %s (version %s): %s: %s\n", h.ID, h.Rule, h.Version, h.Result, h.Why)
		}
	}
	fmt.Fprintf(e.stdout, "alert %s: %d hits, same result %d, another %d, cannot be judged here %d\n", v.Alert, len(v.Hits), counts[hitSame], counts[hitOther], counts[hitCannot])
	if v.OwnKeys {
		warnOfOwnKeys(e)
	}
}
