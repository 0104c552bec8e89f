package monitor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
)

// gapRows is how many of the newest decisions are looked at.
const gapRows = 1000

// Blind says which rules saw too little of the newest decisions, of how many,
// the worst first: a list that nobody supplied, a fact that no merchant sends.
func (m *Monitor) Blind(ctx context.Context) (list []compliance.Blind, of int, err error) {
	var docs []string
	err = m.deps.Store.Select(ctx, &docs, `SELECT no_data FROM monitor_decisions ORDER BY updated_at DESC LIMIT ?`, gapRows)
	if err != nil {
		return nil, 0, fmt.Errorf("monitor: gaps: %w", err)
	}
	list, err = blind(docs)
	return list, len(docs), err
}

// BlindTo is Blind for some transactions. Those that were not decided yet, or
// are nobody's, are not counted.
func (m *Monitor) BlindTo(ctx context.Context, transactionIDs []string) ([]compliance.Blind, error) {
	if len(transactionIDs) == 0 {
		return nil, nil
	}
	args := make([]any, len(transactionIDs))
	for i, id := range transactionIDs {
		args[i] = id
	}
	var docs []string
	err := m.deps.Store.Select(ctx, &docs, `SELECT no_data FROM monitor_decisions WHERE transaction_id IN (?`+strings.Repeat(`,?`, len(args)-1)+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("monitor: gaps: %w", err)
	}
	return blind(docs)
}

// blind counts the gaps of decisions.
func blind(docs []string) ([]compliance.Blind, error) {
	transactions, missing := map[string]int{}, map[string]map[string]int{}
	for _, doc := range docs {
		var gaps []rules.Gap
		if err := json.Unmarshal([]byte(doc), &gaps); err != nil {
			return nil, fmt.Errorf("monitor: gaps: %w", err)
		}
		for _, g := range gaps {
			transactions[g.Rule]++
			if missing[g.Rule] == nil {
				missing[g.Rule] = map[string]int{}
			}
			for _, what := range g.Missing {
				missing[g.Rule][what]++
			}
		}
	}
	list := make([]compliance.Blind, 0, len(transactions))
	for rule, n := range transactions {
		b := compliance.Blind{Rule: rule, Transactions: n}
		for what := range missing[rule] {
			b.Missing = append(b.Missing, what)
		}
		slices.SortFunc(b.Missing, func(x, y string) int {
			return cmp.Or(cmp.Compare(missing[rule][y], missing[rule][x]), cmp.Compare(x, y))
		})
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b compliance.Blind) int {
		return cmp.Or(cmp.Compare(b.Transactions, a.Transactions), cmp.Compare(a.Rule, b.Rule))
	})
	return list, nil
}
