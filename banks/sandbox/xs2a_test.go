package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

func TestBadInitiationIsRefusedAndStoresNothing(t *testing.T) {
	type change = func(h http.Header, b map[string]any)
	header := func(name, value string) change {
		return func(h http.Header, _ map[string]any) {
			if h.Set(name, value); value == "" {
				h.Del(name)
			}
		}
	}
	field := func(name string, value any) change {
		return func(_ http.Header, b map[string]any) {
			if b[name] = value; value == nil {
				delete(b, name)
			}
		}
	}
	amount := func(s string) change {
		return field("instructedAmount", map[string]any{"currency": "EUR", "amount": s})
	}
	iban := func(s string) map[string]any { return map[string]any{"iban": s} }
	w := open(t)
	for name, c := range map[string]struct {
		change change
		status int
		path   string
	}{
		"request id missing":      {func(h http.Header, _ map[string]any) { h["X-Request-Id"] = nil }, 400, "X-Request-ID"},
		"request id no uuid":      {header("X-Request-ID", "4711"), 400, "X-Request-ID"},
		"ip missing":              {header("PSU-IP-Address", ""), 400, "PSU-IP-Address"},
		"ip odd":                  {header("PSU-IP-Address", "300.1.1.1"), 400, "PSU-IP-Address"},
		"redirect missing":        {header("TPP-Redirect-URI", ""), 400, "TPP-Redirect-URI"},
		"redirect relative":       {header("TPP-Redirect-URI", "/return"), 400, "TPP-Redirect-URI"},
		"redirect javascript":     {header("TPP-Redirect-URI", "javascript:alert(1)"), 400, "TPP-Redirect-URI"},
		"redirect plain http":     {header("TPP-Redirect-URI", "http://tpp.example/r"), 400, "TPP-Redirect-URI"},
		"redirect bends policy":   {header("TPP-Redirect-URI", "https://tpp.example;script-src/r"), 400, "TPP-Redirect-URI"},
		"nok odd":                 {header("TPP-Nok-Redirect-URI", "ftp://x/y"), 400, "TPP-Nok-Redirect-URI"},
		"content type":            {header("Content-Type", "text/plain"), 415, "Content-Type"},
		"accept":                  {header("Accept", "application/xml"), 406, "Accept"},
		"amount comma":            {amount("1,00"), 400, "instructedAmount"},
		"amount negative":         {amount("-1.00"), 400, "instructedAmount"},
		"amount zero":             {amount("0.00"), 400, "instructedAmount"},
		"amount three decimals":   {amount("1.001"), 400, "instructedAmount"},
		"amount exponent":         {amount("1e2"), 400, "instructedAmount"},
		"amount above the scheme": {amount("1000000000.00"), 400, "instructedAmount"},
		"amount number":           {field("instructedAmount", map[string]any{"currency": "EUR", "amount": 1.5}), 400, ""},
		"currency":                {field("instructedAmount", map[string]any{"currency": "USD", "amount": "1.00"}), 400, "instructedAmount"},
		"amount missing":          {field("instructedAmount", nil), 400, "instructedAmount"},
		"creditor missing":        {field("creditorAccount", nil), 400, "creditorAccount/iban"},
		"creditor check digits":   {field("creditorAccount", iban("DE88370400440532013000")), 400, "creditorAccount/iban"},
		"debtor check digits":     {field("debtorAccount", iban("DE88370400440532013000")), 400, "debtorAccount/iban"},
		"creditor name missing":   {field("creditorName", " "), 400, "creditorName"},
		"creditor name long":      {field("creditorName", strings.Repeat("x", 71)), 400, "creditorName"},
		"creditor name invisible": {field("creditorName", "Casino\u202e"), 400, "creditorName"},
		"end to end long":         {field("endToEndIdentification", strings.Repeat("x", 36)), 400, "endToEndIdentification"},
		"remittance long":         {field("remittanceInformationUnstructured", strings.Repeat("x", 141)), 400, "remittanceInformationUnstructured"},
		"agent odd":               {field("creditorAgent", "nobic"), 400, "creditorAgent"},
		"body huge":               {field("padding", strings.Repeat("x", 70_000)), 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.send("sandbank", order{mutate: c.change})
			if a.err != nil || a.status != c.status {
				t.Fatalf("%d %v, want %d", a.status, a.err, c.status)
			}
			message, _ := a.body["tppMessages"].([]any)
			if len(message) != 1 || a.code() == "" {
				t.Fatalf("no tppMessages: %v", a.body)
			}
			if got, _ := message[0].(map[string]any)["path"].(string); c.path != "" && got != c.path {
				t.Errorf("path %q, want %q", got, c.path)
			}
		})
	}
}

func TestUnknownProductsAndServicesAreRefused(t *testing.T) {
	w := open(t)
	for path, want := range map[string]string{
		"/sandbank/v1/payments/sepa-credit-transfers":                 "404 PRODUCT_UNKNOWN",
		"/sandbank/v1/bulk-payments/instant-sepa-credit-transfers":    "405 SERVICE_INVALID",
		"/sandbank/v1/gifts/instant-sepa-credit-transfers":            "404 RESOURCE_UNKNOWN",
		"/sandbank/v1/payments/instant-sepa-credit-transfers/x/y/z/w": "404 RESOURCE_UNKNOWN",
	} {
		a := w.call("POST", path, nil, nil)
		if got := fmt.Sprint(a.status, " ", a.code()); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestOneBanksOrderIsUnknownToAnother(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	w.get(payments("deichbank")+"/"+p.PaymentID, 404)
	if res := body(t, w.srv.Client(), strings.Replace(p.SCARedirect, "sandbank", "deichbank", 1)); strings.Contains(res, "<form") {
		t.Error("another bank shows the order")
	}
}

func TestLostInitiationAnswers(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	stored := func(before bool) {
		t.Helper()
		name := map[bool]string{true: "lose_before", false: "lose_after"}[before]
		if err := w.op.Switch(ctx, "sandbank", map[string]any{name: 1}); err != nil {
			t.Fatal(err)
		}
		if a := w.send("sandbank", order{}); a.err == nil {
			t.Errorf("%s: answered with %d", name, a.status)
		}
	}
	stored(true)
	stored(false)
	p := w.initiate("sandbank", order{}) // the counters have run out
	if err := w.op.Switch(ctx, "sandbank", map[string]any{"lose_status": 2}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a := w.call("GET", p.Status, nil, nil); a.err == nil {
			t.Errorf("answered with %d", a.status)
		}
	}
	w.wantStatus(p, "RCVD", "received", "")
}

func TestClosedBankAnswers503EverywhereWithRetryAfter(t *testing.T) {
	w := open(t)
	p := w.initiate("sandbank", order{})
	if err := w.op.Switch(context.Background(), "sandbank", map[string]any{"down": true, "retry_after_sec": 7}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []answer{w.send("sandbank", order{}), w.call("GET", p.Status, nil, nil)} {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "7" {
			t.Errorf("%d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
	}
	if _, err := w.walk(p, psu.Credentials{}, psu.Wish{}); err == nil {
		t.Error("the pages are open")
	}
	if err := w.op.Switch(context.Background(), "sandbank", map[string]any{"down": false}); err != nil {
		t.Fatal(err)
	}
	w.pays(p, w.persona("sandbank", "anna"), psu.Wish{})
}

func TestSwitchesRefuseNonsense(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	for _, bad := range []map[string]any{{"lose_status": -1}, {"latency_ms": 60_001}, {"unheard_of": true}, {"down": "perhaps"}} {
		if err := w.op.Switch(ctx, "sandbank", bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	if err := w.op.Switch(ctx, "nobank", map[string]any{"down": true}); err == nil {
		t.Error("an unknown bank was switched")
	}
	res := post(t, w.srv.Client(), w.srv.URL+"/sandbox/sandbank/switches", "lose_before=x")
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("form: %d", res.StatusCode)
	}
	post(t, w.srv.Client(), w.srv.URL+"/sandbox/sandbank/switches", "lose_before=2&lose_after=3&lose_status=4&latency_ms=0&retry_after_sec=9")
	got := body(t, w.srv.Client(), w.srv.URL+"/sandbox/sandbank/switches")
	if !strings.Contains(got, `"lose_before":2,"lose_after":3,"lose_status":4`) || !strings.Contains(got, `"down":false`) {
		t.Errorf("after the form: %s", got)
	}
}

func TestManyCustomersAtOnce(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	list, err := w.op.Create(ctx, "deichbank", psu.NewCustomers{Count: 2000, User: "bench-", BalanceMinor: 5000, Holder: "Bench Payer"})
	if err != nil || len(list) != 2000 {
		t.Fatalf("%d customers, %v", len(list), err)
	}
	seen := map[string]bool{}
	for _, c := range list {
		if seen[c.User] || seen[c.Accounts[0].IBAN] || seen[c.TOTPSecret] {
			t.Fatal("two customers share a name, an account or a secret")
		}
		seen[c.User], seen[c.Accounts[0].IBAN], seen[c.TOTPSecret] = true, true, true
	}
	w.pays(w.initiate("deichbank", order{endToEnd: "BULK"}), list[1999], psu.Wish{})
	if len(w.transfers("BULK")) != 1 {
		t.Error("a bulk customer cannot pay")
	}
	for _, bad := range []psu.NewCustomers{{Count: 10_001}, {Count: -1}, {BalanceMinor: -1}, {User: "Not A Slug"}, {Behaviour: "odd"}} {
		if _, err := w.op.Create(ctx, "deichbank", bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if _, err := w.op.Create(ctx, "deichbank", psu.NewCustomers{User: "anna"}); err == nil {
		t.Error("a taken name was given away")
	}
}

func TestLedgerPages(t *testing.T) {
	w := open(t)
	who := w.persona("sandbank", "anna")
	for range 3 {
		w.clock.Add(30 * second)
		w.pays(w.initiate("sandbank", order{endToEnd: "PAGE"}), who, psu.Wish{})
	}
	all := w.transfers("PAGE")
	if len(all) != 3 {
		t.Fatalf("%d transfers", len(all))
	}
	rest, err := w.op.Transfers(context.Background(), "", all[0].Position)
	if err != nil || len(rest) != 2 || rest[0].Position != all[1].Position {
		t.Errorf("after the first: %v, %v", rest, err)
	}
}

// TestOrdersTellWhatWasReceivedAndBooked: whoever tests an adapter learns from
// the bank what arrived, paid or not, without looking into its file.
func TestOrdersTellWhatWasReceivedAndBooked(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	who := w.persona("sandbank", "anna")
	paid := w.initiate("sandbank", order{endToEnd: "SAME", amount: "12.34", debtor: who.Accounts[0].IBAN})
	w.pays(paid, who, psu.Wish{})
	w.clock.Add(second)
	waiting := w.initiate("deichbank", order{endToEnd: "SAME"})
	w.initiate("sandbank", order{endToEnd: "OTHER"})
	list, err := w.op.Orders(ctx, "SAME")
	if err != nil || len(list) != 2 {
		t.Fatalf("%d orders, %v", len(list), err)
	}
	first, other := list[0], list[1]
	if first.PaymentID != paid.PaymentID || first.Bank != "sandbank" || first.EndToEndID != "SAME" || first.Amount != (psu.Amount{AmountMinor: 1234, Currency: "EUR"}) ||
		first.CreditorIBAN != payeeIBAN || first.CreditorName != "Demo Casino GmbH" || first.DebtorAsked != who.Accounts[0].IBAN ||
		first.Status != "ACCC" || first.SCAStatus != "finalised" || !first.Booked || !first.ReceivedAt.Before(other.ReceivedAt) {
		t.Errorf("the paid order: %+v", first)
	}
	if other.PaymentID != waiting.PaymentID || other.Bank != "deichbank" || other.Status != "RCVD" || other.Booked || other.DebtorAsked != "" {
		t.Errorf("the open order: %+v", other)
	}
	w.clock.Add(3600 * second)
	if one, err := w.op.Order(ctx, waiting.PaymentID); err != nil || one.Status != "RJCT" || one.Reason != "DS24" || one.Booked {
		t.Errorf("after its redirect has lapsed: %+v %v", one, err)
	}
	if none, err := w.op.Orders(ctx, "NEVER"); err != nil || len(none) != 0 {
		t.Errorf("orders nobody sent: %+v %v", none, err)
	}
	if one, err := w.op.Order(ctx, "no-payment"); err == nil {
		t.Errorf("an order nobody sent: %+v", one)
	}
	for _, q := range []string{"", "?end_to_end_id=", "?end_to_end_id=SAME&payment_id=" + waiting.PaymentID} {
		if a := w.call("GET", "/sandbox/orders"+q, nil, nil); a.status != http.StatusBadRequest {
			t.Errorf("orders%s: %d", q, a.status)
		}
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for name, b := range map[string]sandbox.Bank{
		"id": {ID: "Not A Slug"}, "reserved id": {ID: "sandbox"}, "bic": {ID: "b", BIC: "x"}, "code": {ID: "b", BankCode: "12"},
		"holder": {ID: "b", Holder: "perhaps"}, "final": {ID: "b", Final: "RJCT"}, "colour": {ID: "b", Colour: "red;}"},
	} {
		if s, err := sandbox.Open(sandbox.Config{Banks: []sandbox.Bank{b}}, sandbox.Options{}); err == nil {
			_ = s.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
