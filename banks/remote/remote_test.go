package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/remote"
	"github.com/rialto-hub/rialto/banks/remote/adapter"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
)

const password = "a-long-enough-password"

// hub is a hub's NATS that lets in adapters for two banks.
func hub(t *testing.T) (*bus.Bus, func(bank string) *nats.Conn) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0",
		Adapters: []bus.AdapterUser{{Bank: "remotebank", PasswordFile: file}, {Bank: "otherbank", PasswordFile: file}}}, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, func(bank string) *nats.Conn {
		t.Helper()
		c, err := nats.Connect(b.AdapterURL(), nats.UserInfo(bank, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
}

// toy is a bank that does what the EndToEndId says.
type toy struct {
	calls atomic.Int64
	hang  chan struct{}

	entered chan struct{} // receives when a call hangs
}

func (b *toy) Info() banks.Info {
	return banks.Info{ID: "remotebank", Approaches: []banks.Approach{banks.Redirect, banks.Embedded}}
}

func (b *toy) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	b.calls.Add(1)
	in := banks.Initiation{State: []byte("state of " + o.EndToEndID), Approach: banks.Redirect, Status: "RCVD",
		Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/pay?x=1"}}
	switch o.EndToEndID {
	case "PANIC":
		panic("with an IBAN in it")
	case "HANG":
		b.entered <- struct{}{}
		<-b.hang
	case "ODD":
		return in, errors.New("something")
	case "BUSY":
		return in, &banks.Error{Kind: banks.Unavailable, HTTPStatus: 503, RetryAfter: 7 * time.Second, Code: "BUSY"}
	case "ELSEWHERE":
		in.Prompt.RedirectURL = "https://bank.example.evil.example/"
	case "SCRIPT":
		in.Prompt.RedirectURL = "javascript:alert(1)"
	case "STATELESS":
		in.State = nil
	case "ASK":
		in.Approach, in.Prompt = banks.Embedded, psd2.Prompt{Kind: psd2.PromptPassword, AskID: true, Message: "Guten Tag"}
	case "APP":
		in.Approach, in.Prompt = banks.Decoupled, psd2.Prompt{Kind: psd2.PromptApp}
	case "EXEMPT":
		in.Approach, in.Prompt, in.Status = banks.Decoupled, psd2.Prompt{}, "ACTC"
	case "FOREIGN":
		in.Approach = banks.Decoupled
	case "LONG":
		in.Approach, in.Prompt = banks.Embedded, psd2.Prompt{Kind: psd2.PromptCode, Message: strings.Repeat("x", 501)}
	}
	if o.PSU.ID != "" {
		in.Status = "ACTC " + o.PSU.ID
	}
	if o.EndToEndID == "HINTS" {
		in.Status = "RCVD " + strings.Join(o.Exemptions, " ")
	}
	return in, nil
}

func (b *toy) Answer(_ context.Context, r banks.Ref, a psd2.PromptAnswer) (banks.Initiation, error) {
	return banks.Initiation{State: r.State, Approach: banks.Embedded, Status: a.PSUID + a.Password + a.MethodID + a.Code}, nil
}

func (b *toy) Return(_ context.Context, r banks.Ref, q url.Values) (banks.Initiation, error) {
	return banks.Initiation{State: append(r.State, q.Get("code")...), Ready: true}, nil
}

func (b *toy) Status(_ context.Context, r banks.Ref) (banks.Status, error) {
	return banks.Status{Transaction: "ACSC", Reason: string(r.State), Payer: psd2.Party{Name: "Änne", IBAN: "DE89370400440532013000"}}, nil
}

func (b *toy) Cancel(context.Context, banks.Ref) (banks.Cancellation, error) {
	return banks.Cancellation{Done: true}, nil
}

func (b *toy) Find(_ context.Context, r banks.Ref) ([]byte, banks.Status, error) {
	if r.EndToEndID == "LOST" {
		return nil, banks.Status{}, &banks.Error{Kind: banks.NotFound}
	}
	return []byte("found"), banks.Status{Transaction: "ACCC"}, nil
}

func (b *toy) FundsAvailable(_ context.Context, _ banks.Ref, _ psd2.IBAN, m psd2.Money) (bool, error) {
	return m.AmountMinor < 100, nil
}

func (b *toy) Probe(context.Context) error { return nil }

func serve(t *testing.T, c *nats.Conn, b banks.Bank) {
	t.Helper()
	stop, err := adapter.Serve(c, b, adapter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// whole is a bank with every role.
type whole interface {
	banks.Bank
	banks.Prompter
	banks.Returner
	banks.Canceller
	banks.Finder
	banks.FundsChecker
	banks.Prober
}

func connect(t *testing.T, b *bus.Bus, c remote.Config) whole {
	t.Helper()
	c.Approaches = []banks.Approach{banks.Redirect, banks.Embedded}
	c.RedirectOrigins = []string{"https://bank.example"}
	c.Ops = []string{"answer", "return", "cancel", "find", "funds", "probe"}
	bank, err := remote.New("remotebank", c, b)
	if err != nil {
		t.Fatal(err)
	}
	return bank.(whole)
}

func order(id string) banks.Order {
	return banks.Order{EndToEndID: id, RequestID: "r", Amount: psd2.Euro(100), Creditor: psd2.Party{Name: "C", IBAN: "DE89370400440532013000"}}
}

func kind(t *testing.T, err error) banks.Kind {
	t.Helper()
	var e *banks.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%v is not a *banks.Error", err)
	}
	if e == nil {
		return ""
	}
	return e.Kind
}

// What has put money at risk is told, though the profile knows nothing of it: as
// a lost answer it would be taken for harmless, and paid again.
func TestRiskThatTheProfileDoesNotKnowIsTold(t *testing.T) {
	b, dial := hub(t)
	serve(t, dial("remotebank"), &toy{hang: make(chan struct{})})
	bank := connect(t, b, remote.Config{})
	if bank.Info().AtRiskOnceSent() {
		t.Fatal("this profile knows of no risk")
	}
	for id, want := range map[string]psd2.PromptKind{"APP": psd2.PromptApp, "EXEMPT": psd2.PromptNone} {
		if in, err := bank.Initiate(t.Context(), order(id)); err != nil || in.Prompt.Kind != want || in.Approach != banks.Decoupled {
			t.Errorf("%s: %+v %v", id, in, err)
		}
	}
	if _, err := bank.Initiate(t.Context(), order("FOREIGN")); kind(t, err) != banks.Uncertain {
		t.Errorf("a link of an approach that the profile does not know: %v", err)
	}
	declared, err := remote.New("app", remote.Config{Approaches: []banks.Approach{banks.Decoupled}}, b)
	if err != nil || !declared.Info().AtRiskOnceSent() {
		t.Errorf("decoupled puts money at risk once sent, whatever risk_at_once says: %v", err)
	}
}

// TestHintsAndDelegationCross: a hint goes where the profile has counted with its
// being granted, and there alone; who delegates is asked by nobody but us.
func TestHintsAndDelegationCross(t *testing.T) {
	b, dial := hub(t)
	serve(t, dial("remotebank"), &toy{hang: make(chan struct{})})
	hinted := order("HINTS")
	hinted.Exemptions = []string{"low_value", "transaction_risk"}
	for name, c := range map[string]struct {
		config                remote.Config
		want                  string
		delegates, riskAtOnce bool
	}{
		"neither":    {remote.Config{}, "RCVD ", false, false},
		"hints":      {remote.Config{ExemptionHints: true}, "RCVD low_value transaction_risk", false, true},
		"delegation": {remote.Config{DelegatesSCA: true}, "RCVD ", true, true},
	} {
		bank := connect(t, b, c.config)
		if i := bank.Info(); i.DelegatesSCA != c.delegates || i.AtRiskOnceSent() != c.riskAtOnce {
			t.Errorf("%s: %+v", name, i)
		}
		if in, err := bank.Initiate(t.Context(), hinted); err != nil || in.Status != c.want {
			t.Errorf("%s: the adapter got %q %v", name, in.Status, err)
		}
	}
}

func TestEveryOperationCrosses(t *testing.T) {
	b, dial := hub(t)
	serve(t, dial("remotebank"), &toy{hang: make(chan struct{})})
	bank := connect(t, b, remote.Config{})
	ctx := t.Context()
	in, err := bank.Initiate(ctx, order("GOOD"))
	if err != nil || string(in.State) != "state of GOOD" || in.Prompt.RedirectURL != "https://bank.example/pay?x=1" || in.Status != "RCVD" {
		t.Fatalf("%+v %v", in, err)
	}
	named := order("GOOD")
	named.PSU.ID = "anna"
	if in, err := bank.Initiate(ctx, named); err != nil || in.Status != "ACTC anna" {
		t.Fatalf("%+v %v", in, err)
	}
	ref := banks.Ref{EndToEndID: "GOOD", State: in.State}
	if s, err := bank.Status(ctx, ref); err != nil || s.Transaction != "ACSC" || s.Reason != "state of GOOD" || s.Payer.Name != "Änne" {
		t.Fatalf("%+v %v", s, err)
	}
	if in, err := bank.Initiate(ctx, order("ASK")); err != nil || in.Prompt.Kind != psd2.PromptPassword || in.Prompt.Message != "Guten Tag" {
		t.Fatalf("%+v %v", in, err)
	}
	if in, err := bank.Answer(ctx, ref, psd2.PromptAnswer{PSUID: "a", Password: "b", MethodID: "c", Code: "d"}); err != nil || in.Status != "abcd" {
		t.Fatalf("%+v %v", in, err)
	}
	if in, err := bank.Return(ctx, ref, url.Values{"code": {"!"}}); err != nil || string(in.State) != "state of GOOD!" || !in.Ready {
		t.Fatalf("%+v %v", in, err)
	}
	if c, err := bank.Cancel(ctx, ref); err != nil || !c.Done {
		t.Fatalf("%+v %v", c, err)
	}
	if state, s, err := bank.Find(ctx, ref); err != nil || string(state) != "found" || s.Transaction != "ACCC" {
		t.Fatalf("%s %+v %v", state, s, err)
	}
	if _, _, err := bank.Find(ctx, banks.Ref{EndToEndID: "LOST"}); kind(t, err) != banks.NotFound {
		t.Fatal(err)
	}
	if yes, err := bank.FundsAvailable(ctx, ref, "DE89370400440532013000", psd2.Euro(99)); err != nil || !yes {
		t.Fatal(yes, err)
	}
	if err := bank.Probe(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFailuresOfAnAdapterMeanTheWorstThatIsPossible(t *testing.T) {
	b, dial := hub(t)
	bank := connect(t, b, remote.Config{AtOnce: 2})
	impatient := connect(t, b, remote.Config{Timeout: time.Second}) // for what hangs; the others may take their time
	if _, err := bank.Initiate(t.Context(), order("GOOD")); kind(t, err) != banks.Unavailable {
		t.Fatalf("nobody listens: %v", err)
	}
	slow := &toy{hang: make(chan struct{}), entered: make(chan struct{}, 8)}
	serve(t, dial("remotebank"), slow)
	t.Cleanup(func() { close(slow.hang) })
	for id, want := range map[string]banks.Kind{"PANIC": banks.Uncertain, "ODD": banks.Uncertain, "BUSY": banks.Unavailable, "HANG": banks.Uncertain,
		"ELSEWHERE": banks.Uncertain, "SCRIPT": banks.Uncertain, "STATELESS": banks.Uncertain, "LONG": banks.Uncertain, "GOOD": ""} { // C36
		asked := bank
		if id == "HANG" {
			asked = impatient
		}
		_, err := asked.Initiate(t.Context(), order(id))
		if got := kind(t, err); got != want {
			t.Errorf("%s: %q, want %q (%v)", id, got, want, err)
		}
		if err != nil && strings.Contains(err.Error(), "IBAN") {
			t.Errorf("%s: the adapter's panic is in the error", id)
		}
		var e *banks.Error
		if id == "BUSY" && (!errors.As(err, &e) || e.RetryAfter != 7*time.Second || e.HTTPStatus != 503 || e.Code != "BUSY") {
			t.Errorf("BUSY: %+v", e)
		}
	}
	<-slow.entered // of the call above
	done := make(chan error, 2)
	hanging, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	for range 2 { // both slots hang until we give up
		go func() { _, err := bank.Initiate(hanging, order("HANG")); done <- err }()
	}
	for range 2 {
		<-slow.entered
	}
	if _, err := bank.Initiate(t.Context(), order("GOOD")); kind(t, err) != banks.Unavailable {
		t.Errorf("a third call beside two that hang: %v", err)
	}
	giveUp()
	for range 2 {
		if err := <-done; kind(t, err) != banks.Uncertain {
			t.Error(err)
		}
	}
	if _, err := bank.Initiate(t.Context(), order("GOOD")); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestNonsenseIsNotBelieved(t *testing.T) {
	b, dial := hub(t)
	bank := connect(t, b, remote.Config{})
	answers := map[string]string{
		"html": "<html>", "empty": "", "other version": `{"v":2,"status":{"transaction":"ACSC"}}`, "no version": `{"status":{"transaction":"ACSC"}}`,
		"trailing": `{"v":1,"status":{"transaction":"ACSC"}}{}`, "unknown member": `{"v":1,"paid":true,"status":{"transaction":"ACSC"}}`,
		"nothing": `{"v":1}`, "no code": `{"v":1,"status":{}}`, "odd kind": `{"v":1,"error":{"kind":"fine"}}`,
	}
	var say atomic.Value
	c := dial("remotebank")
	if _, err := c.QueueSubscribe(adapter.Subject("remotebank", "*"), adapter.Group, func(m *nats.Msg) { _ = m.Respond([]byte(say.Load().(string))) }); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, text := range answers {
		say.Store(text)
		if _, err := bank.Status(t.Context(), banks.Ref{EndToEndID: "E"}); kind(t, err) != banks.Uncertain {
			t.Errorf("%s: %v", name, err)
		}
	}
	say.Store(`{"v":1,"status":{"transaction":"ACSC"}}`)
	if s, err := bank.Status(t.Context(), banks.Ref{EndToEndID: "E"}); err != nil || s.Transaction != "ACSC" {
		t.Fatal(s, err)
	}
}

func TestEachRequestGoesToOneOfSeveralProcesses(t *testing.T) {
	b, dial := hub(t)
	one, two := &toy{}, &toy{}
	serve(t, dial("remotebank"), one)
	serve(t, dial("remotebank"), two)
	bank := connect(t, b, remote.Config{})
	for i := range 40 {
		if _, err := bank.Initiate(t.Context(), order(fmt.Sprint("E", i))); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := one.calls.Load(), two.calls.Load(); a+b != 40 || a == 0 || b == 0 {
		t.Fatalf("%d and %d calls", a, b)
	}
}

// An adapter that turned on us hears its own bank's orders only, and says
// nothing but answers.
func TestAdapterIsConfinedToItsBank(t *testing.T) {
	b, dial := hub(t)
	evil := dial("otherbank")
	heard := make(chan string, 64)
	for _, subject := range []string{">", "rialto.>", "rialto.bank.remotebank.>", "rialto.events.>", "_INBOX.>", "$JS.>"} {
		if _, err := evil.Subscribe(subject, func(m *nats.Msg) { heard <- m.Subject }); err != nil {
			t.Fatal(err)
		}
	}
	_ = evil.Flush() // permissions are refused asynchronously
	serve(t, dial("remotebank"), &toy{})
	bank := connect(t, b, remote.Config{})
	if _, err := bank.Initiate(t.Context(), order("GOOD")); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"rialto.deliveries.whe_x", "rialto.bank.remotebank.initiate", "$JS.API.STREAM.DELETE.EVENTS"} {
		if _, err := evil.Request(subject, []byte("{}"), 100*time.Millisecond); err == nil {
			t.Errorf("%s was answered", subject)
		}
	}
	select {
	case subject := <-heard:
		t.Errorf("it heard %s", subject)
	default:
	}
	if _, err := nats.Connect(b.AdapterURL(), nats.UserInfo("otherbank", "wrong")); err == nil {
		t.Error("the wrong password was taken")
	}
	if _, err := nats.Connect(b.AdapterURL()); err == nil {
		t.Error("nobody was let in")
	}
}

func TestProfileIsChecked(t *testing.T) {
	for name, c := range map[string]remote.Config{
		"origin":  {RedirectOrigins: []string{"http://bank.example"}},
		"path":    {RedirectOrigins: []string{"https://bank.example/x"}},
		"op":      {Ops: []string{"fly"}},
		"first":   {First: "code"},
		"prepare": {First: psd2.PromptRedirect, Ops: []string{"prepare"}},
	} {
		if _, err := remote.New("remotebank", c, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := remote.New("a.*", remote.Config{}, nil); err == nil {
		t.Error("an id with a wildcard was taken")
	}
}

// TestEveryKeyOfAProfileIsExplained, in the comment of the registry.
func TestEveryKeyOfAProfileIsExplained(t *testing.T) {
	doc, err := os.ReadFile("../../configs/banks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "# # The profile of remote")
	for f := range reflect.TypeFor[remote.Config]().Fields() {
		if key := f.Tag.Get("yaml"); !regexp.MustCompile(`(?m)^#   (\w+, )*` + key + `(, \w+)*: `).MatchString(text) {
			t.Errorf("%s is not explained", key)
		}
	}
}
