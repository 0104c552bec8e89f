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
)

// thing is something a merchant owns that a path of the contract names.
type thing struct {
	owned, absent map[string]string // values of the path's parameters
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
	"/v1/webhook-endpoints/": func(m *merchant) thing {
		e := m.endpoint("http://127.0.0.1:9/", nil)
		d, err := m.client().TestEndpoint(context.Background(), e.ID, rand.Text())
		if err != nil {
			m.w.t.Fatal(err)
		}
		look := func() string {
			return string(m.get("/v1/webhook-endpoints/"+e.ID).body) + string(m.get("/v1/webhook-endpoints/"+e.ID+"/deliveries").body)
		}
		before := look()
		return thing{
			owned: map[string]string{"{id}": e.ID, "{delivery}": d.ID},
			absent: map[string]string{
				"{id}": psd2.NewID(psd2.PrefixEndpoint, m.w.now(), rand.Reader), "{delivery}": psd2.NewID(psd2.PrefixDelivery, m.w.now(), rand.Reader),
			},
			untouched: func() bool { return look() == before },
		}
	},
}

func TestAnothersObjectsDoNotExist(t *testing.T) { // C01
	onDatabases(t, anothersObjects)
}

func anothersObjects(t *testing.T, w *world) {
	victim, attacker := w.hooked("Casino"), w.hooked("Shop")
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
		for prefix, f := range things {
			if strings.HasPrefix(path, prefix) {
				build = f
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
	for _, target := range []string{"/v1/payments", "/v1/payments?player_reference=player-1", "/v1/payments?reference=Deposit%204711", "/v1/events", "/v1/webhook-endpoints"} {
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
		return m.w.send(m.order(method, target, rand.Text(), "{}", setHeader("Content-Type", "application/json")))
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
