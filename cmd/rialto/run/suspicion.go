package run

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// suspicions is sca.Monitoring over the officers' desk: what a payer says, or
// what his factors show, raises an alert in the transaction in which it
// happened. What befalls our own staff is not the desk's.
type suspicions struct{ h *Hub }

// suspected is how much each matters; its score is out of 100.
var suspected = map[string]struct{ severity, score int64 }{
	sca.NotMe:         {compliance.SeverityHigh, 80},
	sca.FactorCloned:  {compliance.SeverityHigh, 85},
	sca.MethodLocked:  {compliance.SeverityMedium, 50},
	sca.MethodBlocked: {compliance.SeverityLow, 25},
}

// Suspect implements sca.Monitoring.
func (s suspicions) Suspect(tx *store.Tx, n sca.Notice) error {
	if s.h.desk == nil || !strings.HasPrefix(n.PersonID, "psn_") {
		return nil
	}
	inputs, err := json.Marshal(map[string]string{"what": n.What, "method": string(n.Method), "payment_id": n.PaymentID})
	if err != nil {
		return err
	}
	weight := suspected[n.What]
	return s.h.desk.Raise(tx, compliance.Finding{
		ID: n.ID, EntityKind: "person", EntityKey: n.PersonID, PersonID: n.PersonID, ObjectID: n.PaymentID,
		Rule: "SCA_" + strings.ToUpper(n.What), Family: "authentication", RuleVersion: "1",
		Severity: weight.severity, Score: weight.score, Inputs: inputs, At: n.At,
	})
}

// disowned is sca.Notices: a payment that its payer says is not his ends at
// once. Should this process die before, the policy refuses it all the same.
type disowned struct{ h *Hub }

// Notify implements sca.Notices.
func (d disowned) Notify(ctx context.Context, n sca.Notice) {
	if n.What != sca.NotMe || n.PaymentID == "" {
		return
	}
	if err := d.h.hub.Disowned(ctx, n.PaymentID); err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
		d.h.log.WarnContext(ctx, "sca", "what", "disowned payment", "payment", n.PaymentID, "error", err.Error())
	}
}
