package sctinst

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestConformance runs the suite of all channels against the sandbox.
func TestConformance(t *testing.T) {
	bankstest.RunChannel(t, newWorld(t).target())
}

func kind(err error) banks.Kind {
	var b *banks.Error
	if errors.As(err, &b) {
		return b.Kind
	}
	return ""
}

func (w *world) find(c *Channel, t banks.Transfer) (banks.TransferStatus, error) {
	return c.Find(w.t.Context(), banks.TransferRef{MessageID: t.MessageID, EndToEndID: t.EndToEndID, RequestID: newUUID(), TraceID: t.TraceID})
}

func (w *world) mustPay(c *Channel, t banks.Transfer, want string) {
	w.t.Helper()
	s, err := c.Pay(w.t.Context(), t)
	if err != nil || s.Status != want {
		w.t.Fatalf("Pay: %+v %v, want %s", s, err, want)
	}
}

func (w *world) all(c *Channel) []banks.Booking {
	w.t.Helper()
	list, _, err := c.Bookings(w.t.Context(), "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func of(list []banks.Booking, endToEndID string) (found []banks.Booking) {
	for _, b := range list {
		if b.EndToEndID == endToEndID {
			found = append(found, b)
		}
	}
	return found
}

// TestFaults turns each of the bank's switches and says what the channel makes
// of it, and how often the bank has paid in the end.
func TestFaults(t *testing.T) {
	for name, row := range map[string]struct {
		turn   map[string]any
		kind   banks.Kind // of Pay
		status string     // of Pay
		reason string
		found  string // by Find afterwards: a status, or a kind
		booked int
	}{
		"none":           {turn: map[string]any{}, status: "ACCC", found: "ACCC", booked: 1},
		"lose before":    {turn: map[string]any{"lose_before": 1}, kind: banks.Uncertain, found: "not_found"},
		"lose after":     {turn: map[string]any{"lose_after": 1}, kind: banks.Uncertain, found: "ACCC", booked: 1},
		"late":           {turn: map[string]any{"late": 1}, status: "ACSP", found: "ACSP"},
		"reject":         {turn: map[string]any{"reject": 1, "reject_reason": "AC04"}, status: "RJCT", reason: "AC04", found: "RJCT"},
		"reject AB05":    {turn: map[string]any{"reject": 1, "reject_reason": "AB05"}, status: "RJCT", reason: "AB05", found: "RJCT"},
		"forged":         {turn: map[string]any{"forge_signature": 1}, kind: banks.Uncertain, found: "ACCC", booked: 1},
		"unsigned":       {turn: map[string]any{"unsigned": 1}, kind: banks.Uncertain, found: "ACCC", booked: 1},
		"odd message":    {turn: map[string]any{"odd_message": 2}, status: "ACCC", found: "ACCC", booked: 1},
		"lost inquiry":   {turn: map[string]any{"lose_inquiry": 1}, status: "ACCC", found: "uncertain", booked: 1},
		"forged inquiry": {turn: map[string]any{"lose_after": 1, "forge_signature": 1}, kind: banks.Uncertain, found: "uncertain", booked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.turn(row.turn)
			c, order := w.channel(), w.transfer(500)
			s, err := c.Pay(t.Context(), order)
			if kind(err) != row.kind || s.Status != row.status || s.Reason != row.reason {
				t.Errorf("Pay: %+v %v", s, err)
			}
			s, err = w.find(c, order)
			if s.Status+string(kind(err)) != row.found {
				t.Errorf("Find: %+v %v, want %s", s, err, row.found)
			}
			w.wantOrders(order.EndToEndID, row.booked)
		})
	}
}

// TestLateConfirmation: ACSP, then executed when its time has come.
func TestLateConfirmation(t *testing.T) {
	w := newWorld(t)
	w.turn(map[string]any{"late": 1})
	c, order := w.channel(), w.transfer(500)
	w.mustPay(c, order, "ACSP")
	next, err := w.bank.Step(t.Context(), w.clock.Now())
	if err != nil || !next.Equal(w.clock.Now().Add(10*time.Second)) {
		t.Fatalf("Step: %v %v", next, err)
	}
	w.wantOrders(order.EndToEndID, 0)
	if _, err := w.bank.Step(t.Context(), w.clock.Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if s, err := w.find(c, order); err != nil || s.Status != "ACCC" {
		t.Errorf("Find: %+v %v", s, err)
	}
	w.wantOrders(order.EndToEndID, 1)
}

// TestSilentBankIsUncertain: nothing is ever answered; the caller's patience
// ends the call.
func TestSilentBankIsUncertain(t *testing.T) {
	w := newWorld(t)
	w.turn(map[string]any{"silent": true})
	c := w.channel(func(c *Config) { c.Timeout = time.Second }) // dialling included
	if _, err := c.Pay(t.Context(), w.transfer(500)); kind(err) != banks.Uncertain {
		t.Errorf("Pay: %v", err)
	}
}

// TestAnUnknownOrderStaysUnknown: what the bank says it never received it
// refuses from then on, so that "not found" can be believed; where the profile
// does not say that it can, the order stays uncertain.
func TestAnUnknownOrderStaysUnknown(t *testing.T) {
	w := newWorld(t)
	c, order := w.channel(), w.transfer(500)
	if _, err := w.find(w.channel(func(c *Config) { c.UnknownIsFinal = false }), order); kind(err) != banks.Uncertain {
		t.Errorf("Find without the profile's word: %v", err)
	}
	if _, err := w.find(c, order); kind(err) != banks.NotFound {
		t.Errorf("Find: %v", err)
	}
	if _, err := c.Pay(t.Context(), order); kind(err) != banks.Uncertain {
		t.Errorf("Pay of an order that was said to be unknown: %v", err)
	}
	w.wantOrders(order.EndToEndID, 0)
}

// TestDedupWindowOnlyForbids: inside the bank's window the same references pay
// once, after it they pay again; which is why Info says how long it is and
// nobody sends twice.
func TestDedupWindowOnlyForbids(t *testing.T) {
	for _, hours := range []int{24, 240} {
		w := newWorld(t)
		w.turn(map[string]any{"dedup_hours": hours})
		window := time.Duration(hours) * time.Hour
		c := w.channel(func(c *Config) { c.DedupWindow = window })
		if c.ChannelInfo().Dedup != window {
			t.Errorf("the window is %s", c.ChannelInfo().Dedup)
		}
		order := w.transfer(500)
		w.mustPay(c, order, "ACCC")
		w.clock.Add(window - time.Minute)
		order.RequestID = newUUID()
		if _, err := c.Pay(t.Context(), order); kind(err) != banks.Uncertain {
			t.Errorf("%d h: %v", hours, err)
		}
		w.wantOrders(order.EndToEndID, 1)
		w.clock.Add(2 * time.Minute)
		order.RequestID = newUUID()
		w.mustPay(c, order, "ACCC")
		w.wantOrders(order.EndToEndID, 2)
	}
}

// TestPayoutReachesTheCustomer: the money moves between two banks' accounts.
func TestPayoutReachesTheCustomer(t *testing.T) {
	w := newWorld(t)
	c, order := w.channel(), w.transfer(12345)
	w.mustPay(c, order, "ACCC")
	var out struct {
		Entries []struct {
			Amount     psd2.Money
			EndToEndID string `json:"end_to_end_id"`
		}
	}
	w.operator("GET", "/sandbox/accounts/"+string(order.Creditor.IBAN)+"/entries", nil, &out)
	if last := out.Entries[len(out.Entries)-1]; last.EndToEndID != order.EndToEndID || last.Amount != order.Amount {
		t.Errorf("the customer's account shows %+v", last)
	}
	list := of(w.all(c), order.EndToEndID)
	if len(list) != 1 || list[0].Kind != banks.BookingDebit || list[0].In || list[0].Amount != order.Amount || list[0].Counterparty.IBAN != order.Creditor.IBAN {
		t.Errorf("our account shows %+v", list)
	}
}

// TestRefusals are answers of the payee's side.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	for name, row := range map[string]struct {
		iban   psd2.IBAN
		reason string
	}{
		"blocked": {w.iban("deichbank", "emil"), "AC06"},
		"missing": {"DE43900200000000009999", "AC01"},
	} {
		order := w.transfer(100)
		order.Creditor.IBAN = row.iban
		if s, err := c.Pay(t.Context(), order); err != nil || s != (banks.TransferStatus{Status: "RJCT", Reason: row.reason}) {
			t.Errorf("%s: %+v %v", name, s, err)
		}
		w.wantOrders(order.EndToEndID, 0)
	}
	poor := newWorldAs(t, httptest.NewServer, map[string]any{"balance_minor": 99})
	order := poor.transfer(100)
	if s, err := poor.channel().Pay(t.Context(), order); err != nil || s != (banks.TransferStatus{Status: "RJCT", Reason: "AM04"}) {
		t.Errorf("without funds: %+v %v", s, err)
	}
}

// TestDepositShowsWhoPaid: a deposit at any bank becomes a credit entry with
// its EndToEndId; whether the payer is named depends on his bank.
func TestDepositShowsWhoPaid(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	for bank, want := range map[string]string{"sandbank": "Jurgen Grose", "deichbank": "Jurgen Grose", "heidebank": ""} {
		id, err := w.deposit(t.Context(), bank, 2500, "Jürgen Große")
		if err != nil {
			t.Fatal(err)
		}
		list := of(w.all(c), id)
		if len(list) != 1 || list[0].Kind != banks.BookingCredit || !list[0].In || list[0].Amount != psd2.Euro(2500) ||
			list[0].Counterparty.Name != want || list[0].Counterparty.IBAN == "" || list[0].Remittance != "Deposit 4711" {
			t.Errorf("%s: %+v", bank, list)
		}
	}
}

// TestBooksWithMistakes: wrong amounts and double entries are really booked,
// and the balance follows them.
func TestBooksWithMistakes(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	before, _, err := c.Balance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.turn(map[string]any{"wrong_amount": 1})
	short, err := w.deposit(t.Context(), "deichbank", 2500, "Paula Payer")
	if err != nil {
		t.Fatal(err)
	}
	w.turn(map[string]any{"duplicate_entry": 1})
	twice, err := w.deposit(t.Context(), "deichbank", 1000, "Paula Payer")
	if err != nil {
		t.Fatal(err)
	}
	list := w.all(c)
	if b := of(list, short); len(b) != 1 || b[0].Amount != psd2.Euro(2499) {
		t.Errorf("a wrong amount: %+v", b)
	}
	if b := of(list, twice); len(b) != 2 || b[0].ID == b[1].ID || b[0].Amount != b[1].Amount {
		t.Errorf("a double entry: %+v", b)
	}
	after, _, err := c.Balance(t.Context())
	if err != nil || after.AmountMinor-before.AmountMinor != 2499+2000 {
		t.Errorf("the balance rose by %d %v", after.AmountMinor-before.AmountMinor, err)
	}
}

// TestReturnLater: an executed payout comes back as an entry with its reason.
func TestReturnLater(t *testing.T) {
	w := newWorld(t)
	w.turn(map[string]any{"return": 1, "return_reason": "AC04"})
	c, order := w.channel(), w.transfer(700)
	w.mustPay(c, order, "ACCC")
	if _, err := w.bank.Step(t.Context(), w.clock.Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	list := of(w.all(c), order.EndToEndID)
	if len(list) != 2 || list[1].Kind != banks.BookingReturn || !list[1].In || list[1].Reason != "AC04" || list[1].Amount != order.Amount ||
		list[1].Counterparty.IBAN != order.Creditor.IBAN {
		t.Errorf("%+v", list)
	}
}

// TestRecalls: accepted, refused with its reason, pending and decided later,
// too late, of an order that is not there; and one answer for one transfer.
func TestRecalls(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	recall := func(order banks.Transfer) (banks.Recall, banks.RecallStatus) {
		r := banks.Recall{ID: "RC" + order.EndToEndID, RequestID: newUUID(), MessageID: order.MessageID, EndToEndID: order.EndToEndID,
			Amount: order.Amount, Reason: "CUST"}
		s, err := c.Recall(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return r, s
	}
	paid := func() banks.Transfer {
		order := w.transfer(700)
		w.mustPay(c, order, "ACCC")
		return order
	}
	first := paid()
	if _, s := recall(first); s != (banks.RecallStatus{State: "accepted", Reason: "FOCR"}) {
		t.Errorf("accepted: %+v", s)
	}
	if list := of(w.all(c), first.EndToEndID); len(list) != 2 || list[1].Reason != "FOCR" {
		t.Errorf("the money came back as %+v", list)
	}
	again := banks.Recall{ID: "RCAGAIN", RequestID: newUUID(), MessageID: first.MessageID, EndToEndID: first.EndToEndID, Amount: first.Amount, Reason: "DUPL"}
	if s, err := c.Recall(t.Context(), again); err != nil || s.State != "accepted" || len(of(w.all(c), first.EndToEndID)) != 2 {
		t.Errorf("a second recall of one transfer: %+v %v", s, err)
	}
	w.turn(map[string]any{"recall": "refuse", "refuse_reason": "LEGL"})
	if _, s := recall(paid()); s != (banks.RecallStatus{State: "refused", Reason: "LEGL"}) {
		t.Errorf("refused: %+v", s)
	}
	w.turn(map[string]any{"recall": "pending"})
	r, s := recall(paid())
	if s.State != "pending" {
		t.Errorf("pending: %+v", s)
	}
	w.turn(map[string]any{"recall": "accept"})
	r.RequestID = newUUID()
	if s, err := c.RecallStatus(t.Context(), r); err != nil || s.State != "accepted" {
		t.Errorf("decided later: %+v %v", s, err)
	}
	if _, s := recall(w.transfer(1)); s != (banks.RecallStatus{State: "refused", Reason: "NOOR"}) {
		t.Errorf("of no transfer: %+v", s)
	}
	r.ID, r.RequestID = "RCNONE", newUUID()
	if _, err := c.RecallStatus(t.Context(), r); kind(err) != banks.NotFound {
		t.Errorf("status of no recall: %v", err)
	}
	r.Reason = "XXXX"
	if _, err := c.Recall(t.Context(), r); kind(err) != banks.BadRequest {
		t.Errorf("with a reason the scheme has not: %v", err)
	}
}

// TestStatementOfADay: the entries explain the difference of the balances.
func TestStatementOfADay(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	w.mustPay(c, w.transfer(123), "ACCC")
	day := w.clock.Now()
	w.clock.Add(24 * time.Hour)
	w.mustPay(c, w.transfer(77), "ACCC")
	m, err := c.Statement(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Reports[0]
	if len(p.Balances) != 2 || p.Balances[0].Code != "OPBD" || p.Balances[1].Code != "CLBD" || len(p.Entries) != 2 ||
		p.Balances[1].Amount.AmountMinor != psd2.MaxSCTInstMinor-123 {
		t.Errorf("%+v", p)
	}
}

// TestMessagesOfBothSidesAreValid holds everything that passed, in both
// directions, against the official schemas.
func TestMessagesOfBothSidesAreValid(t *testing.T) {
	xmllint := testkit.Tool(t, "xmllint")
	schemas := testkit.Standard(t, "iso20022-xsd")
	w := newWorld(t)
	c := w.channel()
	order := w.transfer(700)
	order.Creditor.Name = "Zoë Müller & Søn"
	w.mustPay(c, order, "ACCC")
	if _, err := w.find(c, order); err != nil {
		t.Fatal(err)
	}
	if _, err := w.find(c, w.transfer(1)); kind(err) != banks.NotFound {
		t.Fatal(err)
	}
	w.turn(map[string]any{"reject": 1})
	w.mustPay(c, w.transfer(700), "RJCT")
	for _, how := range []string{"accept", "refuse"} {
		paid := w.transfer(700)
		w.mustPay(c, paid, "ACCC")
		w.turn(map[string]any{"recall": how})
		r := banks.Recall{ID: "RC" + paid.EndToEndID, RequestID: newUUID(), MessageID: paid.MessageID, EndToEndID: paid.EndToEndID, Amount: paid.Amount, Reason: "AM09"}
		if _, err := c.Recall(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.deposit(t.Context(), "heidebank", 2500, "Paula Payer"); err != nil {
		t.Fatal(err)
	}
	w.all(c)
	if _, _, err := c.Balance(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	name := regexp.MustCompile(`(pain|pacs|camt)\.\d{3}\.\d{3}\.\d{2}`)
	for _, m := range w.tap.messages() {
		kind := name.FindString(string(m))
		file := filepath.Join(t.TempDir(), "m.xml")
		if err := os.WriteFile(file, m, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(xmllint, "--nonet", "--noout", "--schema", filepath.Join(schemas, kind+".xsd"), file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", kind, err, out, m)
		}
		seen[kind]++
	}
	for _, kind := range strings.Fields("pain.001.001.09 pain.002.001.10 pacs.028.001.03 pacs.004.001.09 camt.056.001.08 camt.029.001.09 camt.054.001.08 camt.053.001.08") {
		if seen[kind] == 0 {
			t.Errorf("no %s passed", kind)
		}
	}
}

// TestOtherBanksRecallsComeInOnce: each is told once, in order, whoever asks
// again; a bank without an inbox has none.
func TestOtherBanksRecallsComeInOnce(t *testing.T) {
	w := newWorld(t)
	c := w.channel()
	if list, next, err := c.Recalls(t.Context(), ""); err != nil || len(list) != 0 || next != "" {
		t.Fatalf("an empty inbox: %+v %q %v", list, next, err)
	}
	for i, why := range []string{"FRAD", "CUST"} {
		w.operator("POST", "/sandbox/sandbank/h2h/lagoon/recalls", map[string]any{"end_to_end_id": "DEPOSIT" + why, "amount_minor": 100 + i, "reason": why}, nil)
	}
	after, seen := "", []string{}
	for range 3 {
		list, next, err := c.Recalls(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.ID == "" || r.ReceivedAt.IsZero() {
				t.Errorf("%+v", r)
			}
			seen = append(seen, r.EndToEndID+" "+r.Reason)
		}
		after = next
	}
	if got := strings.Join(seen, ", "); got != "DEPOSITFRAD FRAD, DEPOSITCUST CUST" {
		t.Errorf("recalls: %s", got)
	}
	if _, _, err := c.Recalls(t.Context(), "x\n"); kind(err) != banks.BadRequest {
		t.Errorf("a cursor of nobody's: %v", err)
	}
	w.tap.next = http.NotFoundHandler()
	if _, _, err := c.Recalls(t.Context(), after); kind(err) == banks.NotFound {
		t.Error("an unsigned 404 was believed")
	}
}
