package api_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/webhooks"
)

// thing is something a merchant owns that a path of the contract names.
type thing struct {
	owned, absent map[string]string // values of the path's parameters
	bodies        map[string]string // by path, where an empty object does not do
	untouched     func() bool       // by anybody
}

// things makes what the paths that begin so are about. Every path with a
// parameter must begin with one of them.
var things = map[string]func(*merchant) thing{
	"/v1/payments/": func(m *merchant) thing {
		p := m.create()
		return thing{
			owned:  map[string]string{"{id}": p.ID},
			absent: map[string]string{"{id}": psd2.NewID(psd2.PrefixPayment, m.w.now(), rand.Reader)},
			untouched: func() bool {
				got, err := m.client().Get(context.Background(), p.ID)
				return err == nil && got.Status == psd2.StateAuthorizationRequired
			},
		}
	},
	"/v1/payments/{id}/refunds": func(m *merchant) thing {
		p := m.paid(2500)
		return thing{
			owned:  map[string]string{"{id}": p.ID},
			absent: map[string]string{"{id}": psd2.NewID(psd2.PrefixPayment, m.w.now(), rand.Reader)},
			bodies: map[string]string{"/v1/payments/{id}/refunds": `{"amount":{"amount_minor":100,"currency":"EUR"},"reference":"Refund"}`},
			untouched: func() bool {
				list, err := m.client().Refunds(context.Background(), p.ID, nil)
				return err == nil && len(list.Data) == 0
			},
		}
	},
	"/v1/refunds/": func(m *merchant) thing {
		r := m.refund(m.paid(2500), 100)
		m.w.carry()
		return moved(m, r.ID, psd2.PrefixRefund, "/v1/refunds/{id}/recall", m.client().GetRefund)
	},
	"/v1/payouts/": func(m *merchant) thing {
		p := m.payout(m.paid(2500), 100)
		m.w.carry()
		return moved(m, p.ID, psd2.PrefixPayout, "/v1/payouts/{id}/recall", m.client().GetPayout)
	},
	"/v1/accounts/": func(m *merchant) thing {
		return thing{
			owned:     map[string]string{"{id}": m.Accounts[0].ID},
			absent:    map[string]string{"{id}": psd2.NewID(psd2.PrefixAccount, m.w.now(), rand.Reader)},
			untouched: func() bool { return true }, // it can only be read
		}
	},
	"/v1/webhook-endpoints/": func(m *merchant) thing {
		e := m.endpoint("http://127.0.0.1:9/", nil)
		d, err := m.client().TestEndpoint(context.Background(), e.ID, rand.Text())
		if err != nil {
			m.w.t.Fatal(err)
		}
		replay, err := m.client().Replay(context.Background(), e.ID, apiclient.ReplayRange{}, rand.Text())
		if err != nil {
			m.w.t.Fatal(err)
		}
		m.w.until("the replay's end", func() bool {
			r, err := m.client().ReplayStatus(context.Background(), e.ID, replay.ID)
			return err == nil && r.Status == "done"
		})
		look := func() string {
			return string(m.get("/v1/webhook-endpoints/"+e.ID).body) + string(m.get("/v1/webhook-endpoints/"+e.ID+"/deliveries").body) +
				string(m.get("/v1/webhook-endpoints/"+e.ID+"/replays/"+replay.ID).body)
		}
		before := look()
		return thing{
			owned: map[string]string{"{id}": e.ID, "{delivery}": d.ID, "{replay}": replay.ID},
			absent: map[string]string{
				"{id}": psd2.NewID(psd2.PrefixEndpoint, m.w.now(), rand.Reader), "{delivery}": psd2.NewID(psd2.PrefixDelivery, m.w.now(), rand.Reader),
				"{replay}": psd2.NewID(webhooks.PrefixReplay, m.w.now(), rand.Reader),
			},
			untouched: func() bool { return look() == before },
		}
	},
}

// moved is a transfer that has been executed.
func moved(m *merchant, id, prefix, recall string, get func(context.Context, string) (*apiclient.Transfer, error)) thing {
	return thing{
		owned:  map[string]string{"{id}": id},
		absent: map[string]string{"{id}": psd2.NewID(prefix, m.w.now(), rand.Reader)},
		bodies: map[string]string{recall: `{"reason":"requested"}`},
		untouched: func() bool {
			got, err := get(context.Background(), id)
			return err == nil && got.Status == psd2.TransferExecuted && got.Recall == nil
		},
	}
}

func TestAnothersObjectsDoNotExist(t *testing.T) { // C01
	onDatabases(t, anothersObjects)
}

func anothersObjects(t *testing.T, w *world) {
	victim, attacker := w.hooked("Casino"), w.hooked("Shop")
	victim.cashier()
	attacker.Scopes = api.Scopes
	attacker.save()
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract())
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for path, item := range doc.Paths.Map() {
		if !strings.Contains(path, "{") {
			continue
		}
		var build func(*merchant) thing
		longest := 0
		for prefix, f := range things {
			if strings.HasPrefix(path, prefix) && len(prefix) > longest {
				build, longest = f, len(prefix)
			}
		}
		if build == nil {
			t.Errorf("nobody tries %s", path)
			continue
		}
		for method := range item.Operations() {
			tried++
			foreignObject(t, method, path, build(victim), victim, attacker)
		}
	}
	if tried < 10 {
		t.Errorf("only %d operations with an id were found", tried)
	}
	for _, target := range []string{"/v1/payments", "/v1/payments?player_reference=player-1", "/v1/payments?reference=Deposit%204711", "/v1/events", "/v1/webhook-endpoints",
		"/v1/payouts", "/v1/payouts?player_reference=player-1", "/v1/payouts?reference=Payout", "/v1/settlements"} {
		if got := attacker.get(target); got.StatusCode != 200 || !strings.Contains(string(got.body), `"data":[]`) {
			t.Errorf("%s shows %s", target, got.body)
		}
	}
}

func foreignObject(t *testing.T, method, path string, x thing, victim, attacker *merchant) {
	t.Helper()
	ask := func(m *merchant, parameters map[string]string) *answer {
		target := path
		for name, value := range parameters {
			target = strings.ReplaceAll(target, name, value)
		}
		if method == http.MethodGet {
			return m.get(target)
		}
		body := "{}"
		if b, ok := x.bodies[path]; ok {
			body = b
		}
		return m.w.send(m.order(method, target, rand.Text(), body, setHeader("Content-Type", "application/json")))
	}
	foreign, missing := ask(attacker, x.owned), ask(attacker, x.absent)
	if foreign.StatusCode != 404 || withoutTrace(foreign.body) != withoutTrace(missing.body) || missing.StatusCode != 404 {
		t.Errorf("%s %s: another's gets %d %s, an absent one %d %s", method, path, foreign.StatusCode, foreign.body, missing.StatusCode, missing.body)
	}
	if !x.untouched() {
		t.Errorf("%s %s changed what is the victim's", method, path)
	}
	if own := ask(victim, x.owned); own.StatusCode >= 300 {
		t.Errorf("%s %s: the owner gets %d %s, so this proves nothing", method, path, own.StatusCode, own.body)
	}
}
