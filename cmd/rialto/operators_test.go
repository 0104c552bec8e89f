package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// lostSight makes a payment whose payer confirmed at the bank and came back,
// and whose bank answers no question about it since.
func lostSight(t *testing.T, bank *bankServer, h *run.Hub, s *shop) (paymentID string) {
	t.Helper()
	anna, err := bank.Operator.Persona(t.Context(), "sandbank", "anna")
	if err != nil {
		t.Fatal(err)
	}
	bank.holding(func(r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("X-Request-ID") != "" {
			panic(http.ErrAbortHandler) // the connection breaks
		}
	})
	p := s.create(t, s.deposit("Anna Beispiel"))
	person := payer.Payer{Client: payer.NewClient(nil), Bank: "sandbank", Credentials: anna, Now: time.Now}
	if _, err := person.Pay(t.Context(), p.HostedPage.URL); err != nil {
		t.Fatal(err)
	}
	s.await(t, p.ID, psd2.EventOutcomeUnknown)
	return p.ID
}

// newcomer is somebody "rialto users add" has just printed a link for: he
// enrols a passkey by it, and signs in to the operators' pages.
func newcomer(t *testing.T, h *run.Hub, config, login, name string) *browser.Browser {
	t.Helper()
	out := must(t, "users", "add", "--config", config, "--origin", h.StaffOrigin, "--login", login, "--name", name, "--role", "operator")
	at := strings.Index(out, h.StaffOrigin+"/sca/enrol/")
	if at < 0 {
		t.Fatalf("no link is printed:\n%s", out)
	}
	link := strings.Fields(out[at:])[0]
	c := browser.Open(t, browser.Options{Name: login})
	c.Authenticator(true)
	c.Go(link, browser.Named("go"))
	c.Press(browser.Named("go"), browser.Named("add-passkey"))
	c.Press(browser.Named("add-passkey"), browser.Named("factors"))
	c.Go(h.StaffOrigin+"/unknown", browser.Named("login-passkey")) // nobody is signed in by enrolling
	c.Shot("1-sign-in")
	c.Press(browser.Named("login-passkey"), browser.Named("who"))
	if who := c.Text(browser.Named("who")); who != name {
		t.Errorf("%s is signed in as %q", name, who)
	}
	return c
}

// TestTwoOperatorsDecideAsPeopleWould: two people, each added on the command
// line of a running hub and with nothing but the link it printed, decide what
// became of an order that its bank keeps silent about.
func TestTwoOperatorsDecideAsPeopleWould(t *testing.T) {
	bank := startBank(t)
	cfg := hubConfig(t, bank, "hub: {patience: 1ms, decide_after: 1ms}\n")
	h := startHub(t, cfg, nil)
	s := openShop(t, h, h.PublicURL, "hook", nil)
	id := lostSight(t, bank, h, s)
	config := write(t, t.TempDir(), "hub.yaml", "data_dir: "+cfg.DataDir+"\nsandbox: true\n")

	olga := newcomer(t, h, config, "olga", "Olga Operator")
	olga.Press(browser.Named("row")+" a", browser.Named("propose"))
	olga.Do("choose", chromedp.Click(browser.Named("executed")))
	olga.Type("#reason", "The bank's desk confirmed it by telephone.")
	olga.Type("#evidence", "Statement 117, line 4")
	olga.Shot("2-propose")
	olga.Press(browser.Named("propose"), browser.Named("verdict"))
	if why := olga.Text(browser.Named("why-not")); !strings.Contains(why, "Somebody else has to approve") {
		t.Errorf("the proposer reads %q", why)
	}
	if n := count(olga, browser.Named("approve")); n != 0 {
		t.Error("the proposer is offered to approve")
	}

	piet := newcomer(t, h, config, "piet", "Piet Operator")
	piet.Press(browser.Named("row")+" a", browser.Named("approve"))
	piet.Shot("3-approve")
	approval := browser.Value(piet, chromedp.AttributeValue(`form:has([data-test="approve"])`, "action")).Value
	if status := fetch(olga, approval, id); status != http.StatusForbidden {
		t.Errorf("the proposer's own approval got %d", status)
	}
	piet.Leave(browser.Named("approve"), browser.Named("state"))
	if state := piet.Text(browser.Named("state-code")); state != string(psd2.StateExecuted) {
		t.Errorf("the payment is %s", state)
	}
	piet.Shot("4-decided")
	got := s.await(t, id, psd2.EventExecuted)
	if n := len(slices.DeleteFunc(got, func(d delivery) bool { return !strings.Contains(string(d.Body), `"`+psd2.EventExecuted+`"`) })); n != 1 {
		t.Errorf("the merchant was told %d times", n)
	}

	must(t, "users", "role", "--config", config, "--login", "olga", "--role", "auditor")
	olga.Go(h.StaffOrigin+"/payments", browser.Named("login-passkey")) // other roles, another session
	piet.Leave(browser.Named("logout"), browser.Named("login-passkey"))
	piet.Quiet()
}

// count is how many elements a page has of a kind.
func count(c *browser.Browser, what chromedp.CSS) int {
	return browser.Value(c, chromedp.Evaluate[int](`document.querySelectorAll('`+string(what)+`').length`))
}

// fetch posts the form of a decision past the page and gives the status.
func fetch(c *browser.Browser, path, object string) int {
	return browser.Value(c, chromedp.Evaluate[int](`fetch("`+path+`", {method: "POST", body: new URLSearchParams({object: "`+object+`"})}).then((a) => a.status)`, chromedp.EvalAwaitPromise))
}
