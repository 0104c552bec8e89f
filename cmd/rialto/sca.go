package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/sca"
)

// scaCommand is "rialto sca": the policy that says when a payer confirms.
func scaCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("say what to do: replay or rules")
	}
	switch args[0] {
	case "replay":
		return scaReplay(e, args[1:])
	case "rules":
		return scaRules(e, args[1:])
	}
	return usagef("there is no %q", args[0])
}

// scaReplay decides again about a payment, with the facts and the rules that were
// kept, and says whether the answer is the same.
func scaReplay(e env, args []string) error {
	f := flags(e, "sca replay")
	config := f.String("config", "", "YAML file of the hub")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	db, service, err := openPayers(e, *config)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := service.Replay(e.ctx, f.Arg(0))
	if err != nil {
		return err
	}
	same := true
	for _, r := range list {
		same = same && r.Same
		if !*asJSON {
			fmt.Fprintf(e.stdout, "%s  %-9s  %s\n", r.At.Format(time.RFC3339), map[bool]string{true: "same", false: "different"}[r.Same], answer(r.Decision))
		}
		if !*asJSON && !r.Same {
			fmt.Fprintf(e.stdout, "%31s  %s\n", "now", answer(r.Again))
		}
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(list); err != nil {
			return err
		}
	}
	if !same {
		return errFinding
	}
	return nil
}

// answer is a decision in one line.
func answer(d sca.Decision) string {
	var hints []string
	for _, x := range d.Exemptions {
		hints = append(hints, string(x))
	}
	return fmt.Sprintf("%s, because of %s; hints to the bank: %s; rules %s", d.Level, orNothing(d.Reasons), orNothing(hints), d.Rules)
}

func orNothing(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// scaRules prints the rules that come with the program, to begin one's own file
// (sca.rules_file) with.
func scaRules(e env, args []string) error {
	if err := parse(flags(e, "sca rules"), args, 0); err != nil {
		return err
	}
	_, err := e.stdout.Write(sca.RulesFile())
	return err
}
