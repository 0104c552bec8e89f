package monitor_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// Every case of every rule once more, the whole way: payments and transfers of
// a hub that must give the facts of the case, their journal, the consumer, the
// decision, and the alert at the officers' desk.
func TestEveryRuleHearsOfItThroughTheJournal(t *testing.T) {
	clock := testkit.NewClock()
	w := newWorld(t, clock, testkit.SQLite(t, clock.Now))
	past := &ledger{world: w, ibans: map[string]psd2.IBAN{}, hosts: map[string]string{}, nets: map[string]int{}, screened: screened{}}
	var cases []rulestest.Case
	var ids []string
	for _, c := range rulestest.Cases(t) {
		if past.begin(len(cases)); past.can(t, c) {
			cases, ids = append(cases, c), append(ids, past.play(t, c))
		}
	}
	m := w.start(nil, []func(*monitor.Config){func(c *monitor.Config) { c.Profile, c.Sources = rules.ProfileOnlineDE, past.sources(t) }},
		[]func(*monitor.Deps){func(d *monitor.Deps) { d.Screened = past.screened }})
	must(t, w.catchUp(m))
	alerted, kinds := map[string]bool{}, map[string]bool{}
	for i, c := range cases {
		kinds[c.Rule+" "+strings.Fields(c.Name)[0]] = true
		t.Run(c.Rule+" "+c.Name, func(t *testing.T) {
			j := &rules.Judgement{ID: ids[i]}
			for _, h := range w.hits(ids[i]) {
				j.Hits = append(j.Hits, h)
			}
			var gaps []string
			must(t, w.db.Select(ctx, &gaps, `SELECT no_data FROM monitor_decisions WHERE transaction_id = ?`, ids[i]))
			if strings.Contains(strings.Join(gaps, ""), `"`+c.Rule+`"`) {
				j.NoData = []rules.Gap{{Rule: c.Rule}}
			}
			if c.Check(t, j); c.Want != "hit" {
				return
			}
			alerted[c.Rule] = true
			if n := w.number(`SELECT COUNT(*) FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id WHERE rule = ? AND compliance_hits.id = ? AND open = 1`,
				c.Rule, "hit_"+strings.ToLower(c.Rule)+"_"+ids[i]); n != 1 {
				t.Errorf("%d alerts at the desk, want 1", n)
			}
		})
	}
	if len(alerted) != 36 {
		t.Errorf("%d rules of 36 have a case that alerts", len(alerted))
	}
	for rule := range alerted {
		for _, kind := range []string{"fires", "boundary", "silent"} {
			if !kinds[rule+" "+kind] {
				t.Errorf("%s has no case %q", rule, kind)
			}
		}
	}
}

// screened is what screening has stored, by person.
type screened map[string]*rules.Fact

func (s screened) Screened(_ context.Context, personID string) (*rules.Screening, *rules.PEP, error) {
	if f := s[personID]; f != nil {
		return f.Screening, f.PEP, nil
	}
	return nil, nil, nil
}

// ledger turns the facts of cases back into what a hub has stored.
type ledger struct {
	*world
	n        int // of the case
	payments []*psd2.Payment
	ibans    map[string]psd2.IBAN
	hosts    map[string]string // addresses
	nets     map[string]int
	geo, asn rulestest.MMDB
	mules    []string
	screened screened
}

func (l *ledger) begin(n int) { l.n, l.payments = n, nil }

// can says whether a hub can have such facts: it compares names itself, to yes
// or no, knows every purpose, and has one list of mules or none.
func (l *ledger) can(t *testing.T, c rulestest.Case) bool {
	past, now := c.Facts(t)
	for _, f := range append(past, now) {
		half := f.HolderMatch != nil && *f.HolderMatch != 1 && f.Holder == rules.HolderSelf
		if half || f.MonthLimit != nil || f.PurposeMatch != nil && *f.PurposeMatch > 0.3 {
			return false
		}
	}
	return c.Want != "no_data" || c.Rule != "R34" && (c.Rule != "R29" || now.IBAN == "")
}

// play stores a case and names what is judged.
func (l *ledger) play(t *testing.T, c rulestest.Case) string {
	past, now := c.Facts(t)
	for _, f := range past {
		l.store(f)
	}
	if now.Kind == rules.HourEnd {
		return rules.HourFact(l.merchant(now.Merchant), now.At).ID
	}
	if c.Want == "no_data" && now.HolderAge == nil && c.Rule == "R35" {
		now.PersonLinked = false // no birth date
	}
	return l.store(now)
}

func (l *ledger) store(f *rules.Fact) string {
	if f.Kind == rules.Deposit {
		return l.deposit(f).ID
	}
	return l.transfer(f)
}

func (l *ledger) merchant(key string) string {
	id := fmt.Sprintf("mer_%03d%s", l.n, key)
	must(l.t, l.db.Tx(ctx, func(tx *store.Tx) error {
		return tx.PutMerchant(&psd2.Merchant{ID: id, Name: "Casino", Gambling: true})
	}))
	return id
}

// named makes a name of a key.
func (l *ledger) named(first, key string) string {
	letters := strings.NewReplacer("0", "bi", "1", "di", "2", "fi", "3", "gi", "4", "ki", "5", "li", "6", "mi", "7", "ni", "8", "pi", "9", "ri")
	return first + " " + letters.Replace(fmt.Sprintf("T%03d%s", l.n, key))
}

func (l *ledger) player(f *rules.Fact) psd2.Player {
	p := psd2.Player{Reference: f.Player, Name: l.named("Nina", f.Player), KYCStatus: f.KYC, Residence: f.Residence, StakeMinorSinceLastPayout: f.Stake}
	if f.PersonLinked {
		p.DateOfBirth = "1980-01-02"
	}
	if f.HolderAge != nil {
		p.DateOfBirth = f.At.AddDate(-*f.HolderAge, 0, 0).Format(time.DateOnly)
	}
	if f.RegisteredAt != nil {
		p.RegisteredAt = f.RegisteredAt.Format(time.RFC3339)
	}
	return p
}

// party is the player's account.
func (l *ledger) party(f *rules.Fact, key string) (p psd2.Party) {
	if p.IBAN = l.iban(key, f.IBANCountry); f.MuleListed != nil && *f.MuleListed {
		l.mules = append(l.mules, string(p.IBAN))
	}
	switch {
	case f.VASPListed == nil:
	case *f.VASPListed:
		p.BIC = "VASPDEFF"
	default:
		p.BIC = "BANKDEFF"
	}
	return p
}

// iban makes an account of a key.
func (l *ledger) iban(key, country string) psd2.IBAN {
	if key == "" {
		return ""
	}
	key = fmt.Sprint(l.n, "/", key, country)
	if l.ibans[key] == "" {
		digits, n := map[string]int{"DE": 18, "LT": 16, "PL": 24}[country], len(l.ibans)+1
		for check := 2; check < 99 && l.ibans[key] == ""; check++ {
			l.ibans[key], _ = psd2.ParseIBAN(fmt.Sprintf("%s%02d%0*d", country, check, digits, n)) // one of them is right
		}
	}
	return l.ibans[key]
}

// address makes an address of a key, of which the operator's databases know
// what the fact knows.
func (l *ledger) address(f *rules.Fact) string {
	network := fmt.Sprint(l.n, "/", f.Network)
	place := ""
	if f.Place != nil {
		place = fmt.Sprint(*f.Place)
	}
	hosting := "unknown"
	if f.Hosting != nil {
		hosting = fmt.Sprint(*f.Hosting)
	}
	key := fmt.Sprint(network, "/", f.IP, f.IPCountry, place, hosting)
	if l.hosts[key] != "" {
		return l.hosts[key]
	}
	if l.nets[network] == 0 {
		l.nets[network] = len(l.nets) + 1
	}
	n := l.nets[network]
	ip := fmt.Sprintf("11.%d.%d.%d", n>>8, n&255, len(l.hosts)&255)
	l.hosts[key] = ip
	record := map[string]any{}
	if f.IPCountry != "" {
		record["country"] = map[string]any{"iso_code": f.IPCountry}
	}
	if f.Place != nil {
		record["location"] = map[string]any{"latitude": f.Place.Lat, "longitude": f.Place.Lon}
	}
	l.geo.Add(l.t, ip+"/32", record)
	if f.Hosting != nil {
		l.asn.Add(l.t, ip+"/32", map[string]any{"autonomous_system_number": map[bool]int{true: 14061, false: 3320}[*f.Hosting]})
	}
	return ip
}

func (l *ledger) purpose(f *rules.Fact) string {
	if f.PurposeMatch != nil {
		return "Einzahlung für Fritz Fremdling"
	}
	if f.Keyword != nil {
		return "Einzahlung " + *f.Keyword
	}
	return "Einzahlung 4711"
}

func (l *ledger) person(f *rules.Fact) (merchantID, personID string) {
	merchantID = l.merchant(f.Merchant)
	personID = l.db.PersonID(merchantID, f.Player)
	if f.Screening != nil || f.PEP != nil {
		l.screened[personID] = f
	}
	return merchantID, personID
}

func (l *ledger) deposit(f *rules.Fact) *psd2.Payment {
	l.t.Helper()
	merchantID, personID := l.person(f)
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, f.At, rand.Reader), MerchantID: merchantID, PersonID: personID, Amount: psd2.Euro(f.Amount), PayeeAccountID: "acc_1",
		ReturnURI: "https://casino.example/back", ExpiresAt: f.At.Add(15 * time.Minute), LinkHash: rand.Text(), PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{Reference: l.purpose(f), DeviceID: f.Device, Player: l.player(f), Payee: psd2.Party{Name: "Casino", IBAN: "DE02120300000000202051"}},
	}
	if f.Device != "" {
		p.Personal.DeviceID = fmt.Sprint(l.n, f.Device)
	}
	p.Create(f.At)
	id := psd2.NewID(psd2.PrefixAttempt, f.At, rand.Reader)
	must(l.t, p.BeginAttempt(psd2.Attempt{ID: id, BankID: "musterbank", EndToEndID: psd2.NewEndToEndID(id), RequestID: "r"}, psd2.PSU{IP: l.address(f)}, f.At))
	must(l.t, p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/1"}, []byte("state"), f.At))
	payer := l.party(f, f.IBAN)
	switch {
	case f.HolderMatch == nil:
	case f.Holder == rules.HolderSelf:
		payer.Name = p.Personal.Player.Name
	default:
		payer.Name = l.named("Fritz", f.Holder)
	}
	status := "ACSC"
	if f.Status == rules.Failed {
		status = "RJCT"
	}
	p.Report(id, psd2.Report{Status: status, ReasonCode: "AM04", Payer: payer}, f.At)
	p.JudgePayer(func(psd2.IBAN) string { return "src_1" }, func(holder, player string) bool { return holder == player }, f.At)
	if f.Status == rules.Failed {
		_, err := p.Cancel(psd2.ReasonPayerCanceled, f.At)
		must(l.t, err)
	}
	must(l.t, l.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	l.payments = append(l.payments, p)
	return p
}

func (l *ledger) transfer(f *rules.Fact) string {
	l.t.Helper()
	merchantID, personID := l.person(f)
	t := &psd2.Transfer{
		ID: psd2.NewID(psd2.PrefixPayout, f.At, rand.Reader), Kind: psd2.KindPayout, MerchantID: merchantID, PersonID: personID, Amount: psd2.Euro(f.Amount),
		AccountID: "acc_1", PaymentID: l.root(f, personID),
		Personal: psd2.TransferPersonal{Reference: l.purpose(f), Player: l.player(f), Payee: l.party(f, f.IBAN)},
	}
	if f.Kind == rules.Refund {
		t.ID, t.Kind = psd2.NewID(psd2.PrefixRefund, f.At, rand.Reader), psd2.KindRefund
	}
	t.Create(f.At)
	if f.VoP != "" {
		t.Verified(psd2.VoPResult{Match: psd2.Match(f.VoP), CheckedAt: f.At})
	}
	must(l.t, t.Submit(0, f.At))
	t.Report("ACSC", "", time.Minute, f.At)
	must(l.t, l.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreateTransfer(t) }))
	return t.ID
}

// root is the deposit that a transfer follows: the player's last, or one that
// failed long ago, which counts nowhere and shows device and address. A refund
// follows one from the account that the case says.
func (l *ledger) root(f *rules.Fact, personID string) string {
	for _, p := range slices.Backward(l.payments) {
		if p.PersonID == personID && p.State != psd2.StateFailed && (f.Kind == rules.Payout || p.Personal.Source.IBAN == l.iban(f.SourceIBAN, f.IBANCountry)) {
			return p.ID
		}
	}
	one := *f
	one.Kind, one.At, one.Status, one.Amount = rules.Deposit, f.At.AddDate(0, 0, -300), rules.Failed, 100
	one.MuleListed, one.VASPListed, one.Keyword = nil, nil, nil
	if f.Kind == rules.Refund {
		one.Status, one.IBAN = rules.Settled, f.SourceIBAN
	}
	return l.deposit(&one).ID
}

// sources are the operator's files.
func (l *ledger) sources(t *testing.T) rules.SourcesConfig {
	t.Helper()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "list")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	return rules.SourcesConfig{GeoIP: l.geo.Write(t, "City"), ASN: l.asn.Write(t, "ASN"), Hosting: file("14061\n"), VASP: file("VASP\n"), Mule: file(strings.Join(l.mules, "\n"))}
}
