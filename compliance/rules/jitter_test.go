package rules_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// stage invents recorded streams of sixty days: players who play, and players
// of each typology in shapes of their own.
type stage struct {
	r      *rand.Rand
	people int
	events []map[string]any
	labels []rules.Label
}

var (
	givenNames  = strings.Fields("Agnieszka Bilal Carla Dmitri Eleni Farid Greta Hakan Ines Janusz Katja Luca Marta Nils Oksana Pavel Quirin Rosa Stefan Tülay Ulf Vesna Wanda Yusuf")
	familyNames = strings.Fields("Ackermann Bielski Çelik Drăgulescu Eberle Färber Gruszka Haddad Ivanenko Jürgens Kovač Lindqvist Moretti Nikolaidis Öztürk Pohl Quast Rademacher Straußberg Todorov Unger Vuković Winkelmann Żuraw")
)

func newStage(seed uint64) *stage { return &stage{r: rand.New(rand.NewPCG(seed, 6))} }

func (s *stage) name() string {
	return givenNames[s.r.IntN(len(givenNames))] + " " + familyNames[s.r.IntN(len(familyNames))]
}

// between is uniform, both ends included.
func (s *stage) between(a, b int64) int64 { return a + s.r.Int64N(b-a+1) }

func (s *stage) wait(least, most time.Duration) time.Duration {
	return time.Duration(s.between(int64(least), int64(most)))
}

// someone plays at one casino from one account on one device.
type someone struct {
	s                                          *stage
	id, name, holder, iban, device, ip, casino string
	country                                    string
	at                                         time.Time
}

func (s *stage) someone() *someone {
	s.people++
	n := s.name()
	return &someone{
		s: s, id: fmt.Sprintf("p%05d", s.people), name: n, holder: n, iban: s.iban("DE"), device: fmt.Sprintf("d%06x", s.people),
		ip: fmt.Sprintf("93.%d.%d.%d", s.between(192, 250), s.between(0, 255), s.between(1, 254)), casino: fmt.Sprintf("casino-%d", s.between(1, 5)), country: "DE",
		at: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(s.wait(0, 55*24*time.Hour)),
	}
}

func (s *stage) iban(country string) string {
	return fmt.Sprintf("%s%02d%018d", country, s.between(10, 97), s.r.Int64N(1e17))
}

// move adds a transaction, labelled unless the label is empty.
func (p *someone) move(kind, label string, cents int64, stake any) {
	id := fmt.Sprintf("tx%06d", len(p.s.events))
	p.s.events = append(p.s.events, map[string]any{
		"id": id, "ts": p.at.Truncate(time.Second), "type": kind, "merchant": p.casino, "player": p.id, "player_name": p.name,
		"holder_name": p.holder, "iban": p.iban, "bic": "TESTDEFFXXX", "amount_cents": cents, "currency": "EUR", "device": p.device, "ip": p.ip,
		"ip_country": p.country, "status": "settled", "stake_cents_since_last": stake,
	})
	if label != "" {
		p.s.labels = append(p.s.labels, rules.Label{Tx: id, Player: p.id, Name: label})
	}
}

func (p *someone) deposit(label string, cents int64) { p.move("deposit", label, cents, nil) }

// plays is a player whom nobody should look at: he pays what he is used to,
// more at times, plays with it, and takes a win. His bank spells his name in
// its own way.
func (s *stage) plays(shares []int64) {
	p := s.someone()
	words := strings.Fields(p.name)
	p.holder = []string{p.name, strings.ToUpper(p.name), words[1] + ", " + words[0], words[1] + " " + words[0], words[0] + " Maria " + words[1], words[0][:1] + ". " + words[1]}[s.between(0, 5)]
	p.at = p.at.Add(-p.at.Sub(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) / 2)
	usual, left := []int64{1000, 1500, 2000, 2500, 4000, 5000, 7500}[s.between(0, 6)], int64(100000)
	for range s.between(1, 12) {
		cents := usual * shares[s.r.IntN(len(shares))]
		if left -= cents; left < 0 { // over the monthly limit he would be no normal player
			break
		}
		p.deposit("", cents)
		p.at = p.at.Add(time.Duration(float64(s.wait(time.Hour, 54*time.Hour)) * (0.5 + s.r.ExpFloat64())))
		if s.r.IntN(4) == 0 {
			p.move("payout", "", s.between(usual/2, 6*usual), s.between(3*usual, 20*usual))
			p.at = p.at.Add(s.wait(time.Hour, 30*time.Hour))
		}
	}
}

// typologies plays each one some times, in shapes near what its rule calls by
// that name.
func (s *stage) typologies(each int) {
	for range each {
		s.structuring()
		s.burst()
		s.fanIn()
		s.passThrough()
		s.shared()
		s.crossMerchant()
		s.dormant()
		s.escalation()
		s.abroad()
	}
}

func (s *stage) structuring() {
	p := s.someone()
	bands := [][2]int64{{90000, 99999}, {95000, 99900}, {160000, 199999}, {189000, 199900}}
	for range s.between(4, 7) {
		b := bands[s.between(0, 3)]
		p.deposit("structuring", s.between(b[0], b[1]))
		p.at = p.at.Add(s.wait(5*time.Minute, 5*time.Hour))
	}
}

func (s *stage) burst() {
	p := s.someone()
	for range s.between(7, 15) {
		p.deposit("velocity_burst", s.between(5, 60)*100)
		p.at = p.at.Add(time.Duration(s.r.ExpFloat64() * float64(100*time.Second)))
	}
}

func (s *stage) fanIn() {
	p := s.someone()
	for range s.between(4, 9) {
		p.holder, p.iban = s.name(), s.iban("DE")
		p.deposit("mule_fan_in", s.between(10000, 90000))
		p.at = p.at.Add(s.wait(5*time.Minute, 20*time.Hour))
	}
	p.at = p.at.Add(s.wait(time.Hour, 40*time.Hour))
	p.move("payout", "mule_fan_in", s.between(90000, 400000), 0)
}

func (s *stage) passThrough() {
	p := s.someone()
	in := s.between(50000, 600000)
	p.deposit("min_play_passthrough", in)
	p.at = p.at.Add(s.wait(5*time.Minute, 20*time.Hour))
	p.move("payout", "min_play_passthrough", in*s.between(82, 99)/100, in*s.between(0, 18)/100)

	p = s.someone() // and where nobody tells what he staked
	p.deposit("min_play_passthrough", in)
	p.at = p.at.Add(s.wait(5*time.Minute, 2*time.Hour))
	p.move("payout", "min_play_passthrough", in*s.between(91, 99)/100, nil)
}

// shared is several players on one device, and several on one account.
func (s *stage) shared() {
	device := s.someone()
	for range s.between(4, 7) {
		p := s.someone()
		p.device, p.at = device.device, device.at
		p.deposit("shared_device", s.between(1000, 20000))
		device.at = device.at.Add(s.wait(time.Minute, 24*time.Hour))
	}
	account := s.someone()
	for range s.between(3, 6) {
		p := s.someone()
		p.iban, p.holder, p.casino, p.at = account.iban, account.name, account.casino, account.at
		p.deposit("multi_account_one_iban", s.between(5000, 30000))
		account.at = account.at.Add(s.wait(time.Minute, 4*24*time.Hour))
	}
	stranger := s.someone()
	for stranger.holder == stranger.name {
		stranger.holder = s.name()
	}
	for range s.between(1, 3) {
		stranger.deposit("third_party_account", s.between(10100, 90000))
		stranger.at = stranger.at.Add(s.wait(time.Hour, 9*24*time.Hour))
	}
}

func (s *stage) crossMerchant() {
	p := s.someone()
	n := s.between(3, 5)
	for i := range n {
		p.casino = fmt.Sprintf("casino-%d", i+1)
		p.deposit("cross_merchant_over_limit_1000", s.between(103000/n, 150000/n))
		p.at = p.at.Add(s.wait(2*time.Minute, 5*time.Hour))
	}
}

func (s *stage) dormant() {
	p := s.someone()
	p.at = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(s.wait(0, 9*24*time.Hour))
	p.deposit("", s.between(10, 50)*100)
	p.at = p.at.Add(s.wait(45*24*time.Hour, 50*24*time.Hour))
	p.deposit("dormant_reactivation", s.between(100000, 400000))
}

// escalation pays more and more, now and then two of them the other way round.
func (s *stage) escalation() {
	p := s.someone()
	amount, factor := float64(s.between(2000, 10000)), 1.3+s.r.Float64()*0.9
	n := 1 + int(math.Ceil(math.Log(float64(s.between(50, 200))/10)/math.Log(factor)))
	amounts := make([]int64, max(n, 5))
	for i := range amounts {
		amounts[i] = int64(amount * math.Pow(factor, float64(i)))
	}
	for i := 1; i < len(amounts); i += 2 {
		if s.r.IntN(3) == 0 {
			amounts[i-1], amounts[i] = amounts[i], amounts[i-1]
		}
	}
	for _, a := range amounts {
		p.deposit("escalating_deposits", a)
		p.at = p.at.Add(s.wait(20*time.Minute, 9*time.Hour))
	}
}

// abroad is an address in a listed country, and a win paid to an account
// abroad.
func (s *stage) abroad() {
	p := s.someone()
	p.country = []string{"KP", "IR", "MM"}[s.between(0, 2)]
	p.deposit("high_risk_country_ip", s.between(1000, 40000))

	p = s.someone()
	for range s.between(1, 4) {
		p.deposit("", s.between(5000, 20000))
		p.at = p.at.Add(s.wait(time.Hour, 30*time.Hour))
	}
	p.iban = s.iban([]string{"LT", "MT", "EE", "CY"}[s.between(0, 3)])
	p.move("payout", "payout_new_foreign_iban", s.between(50000, 250000), s.between(50000, 90000))
}

// text is the stream as it would be recorded: the fields of a line in any
// order, and the lines too.
func (s *stage) text(t *testing.T) string {
	t.Helper()
	lines := make([]string, len(s.events))
	for i, ev := range s.events {
		b, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(b)
	}
	s.r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return strings.Join(lines, "\n")
}

// The rules know a typology by what it is, not by the numbers of one file:
// streams invented here, with other amounts, gaps and names, reach the same
// bar, whether players keep to one stake or vary it.
func TestOtherStreamsReachTheBarToo(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	for seed, shares := range map[uint64][]int64{1: {1, 1, 2}, 2: {1, 1, 1, 2, 2, 3, 4}, 3: {1, 1, 2, 2, 3, 5, 8}} {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			s := newStage(seed)
			for range 1500 {
				s.plays(shares)
			}
			s.typologies(60)
			s.reachTheBar(t, e)
		})
	}
}

// reachTheBar plays the stream through the rules and holds what they say
// against the labels.
func (s *stage) reachTheBar(t *testing.T, e *rules.Engine) {
	facts, err := e.Stream(strings.NewReader(s.text(t)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Run(facts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Measure(s.labels)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Recall) != len(rules.Fits) || m.Normal < 1500 {
		t.Fatalf("%d typologies, %d normal players", len(m.Recall), m.Normal)
	}
	for _, r := range m.Recall {
		if r.Share < 0.95 {
			t.Errorf("%s: recall %.3f of %d", r.Label, r.Share, r.Players)
		}
	}
	if m.Share > 0.02 {
		t.Errorf("%d of %d normal players alerted: %v", m.Alerted, m.Normal, blame(b, s.labels))
	}
	t.Logf("%d events, %.2f %% of %d normal players alerted", len(facts), 100*m.Share, m.Normal)
}

// blame counts the normal players by the rules that alerted them.
func blame(b *rules.Backtest, labels []rules.Label) map[string]int {
	by := map[string]map[string]bool{}
	for _, r := range b.Rows {
		if slices.ContainsFunc(labels, func(l rules.Label) bool { return l.Player == r.Player }) {
			continue
		}
		if by[r.Rule] == nil {
			by[r.Rule] = map[string]bool{}
		}
		by[r.Rule][r.Player] = true
	}
	out := map[string]int{}
	for rule, players := range by {
		out[rule] = len(players)
	}
	return out
}
