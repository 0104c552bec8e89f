package demo

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo/casino"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

// A typology is a way to launder money, or to look like it, that the rules know.
// The script plays each with people and accounts of its own, through the real
// API, hosted pages and sandbox banks, so that alerts come up as they would.
type typology struct {
	name  string // as the casino's page names it
	rules string // that should fire, for whoever watches the console
	acts  []act
}

// act is one deposit or withdrawal. Who is a letter: people and accounts of the
// same letter are the same within a typology.
type act struct {
	who     string
	account string // he pays from, or is paid to; "": his own
	cents   int64
	out     bool // a payout, to the account he last paid from unless account says another
	decline bool // he says no at the bank
	device  string
	text    string
	later   bool   // not within burst of his last one: else he would be asked to confirm, and stop
	fresh   bool   // he registered a minute ago
	kyc     string // "": verified
	lounge  bool   // at the house's tables, where no monthly limit binds (GlüStV 2021 §6c is for the internet)
	stake   *int64 // played since his last payout
}

// typologies of the catalogue that need nothing but payments. Amounts vary a
// little with the seed, within what the rules say.
func typologies(r *rand.Rand) []typology {
	under := func(top, width int64) int64 { return top - 100*(1+r.Int64N(width/100)) }
	deposits := func(n int, make func(i int) act) (list []act) {
		for i := range n {
			list = append(list, make(i))
		}
		return list
	}
	nothing := int64(0)
	lounge := func(a act) act { a.later, a.lounge = true, true; return a }
	return []typology{
		{"Structuring under 2,000 €", "R08", deposits(3, func(int) act { return lounge(act{who: "a", cents: under(200000, 20000)}) })},
		{"Structuring under 1,000 €", "R09", deposits(2, func(int) act { return lounge(act{who: "a", cents: under(100000, 8000)}) })},
		{"Passed through with little play", "R12", []act{{who: "a", cents: 60000}, {who: "a", cents: 39000, later: true}, {who: "a", cents: 95000, out: true, stake: &nothing}}},
		{"One account, many players", "R05", deposits(3, func(i int) act { return act{who: string(rune('a' + i)), account: "a", cents: 4000 + r.Int64N(2000)} })},
		{"Somebody else's account", "R01", []act{{who: "a", account: "b", cents: 12000}, {who: "a", account: "b", cents: 7000}}},
		{"Many accounts, one player", "R06", deposits(4, func(i int) act { return act{who: "a", account: string(rune('p' + i)), cents: 4000 + r.Int64N(800)} })},
		{"Deposits in quick succession", "R14", deposits(8, func(i int) act { return act{who: string(rune('a' + i)), cents: 2000 + r.Int64N(400), device: "one"} })},
		{"Escalating deposits", "R16", []act{{who: "a", cents: 2000}, {who: "a", cents: 6500}, {who: "a", cents: 21000 + r.Int64N(3000), later: true}}},
		{"Probing, then paying", "R18", append(deposits(5, func(int) act { return act{who: "a", cents: 5000, decline: true} }), act{who: "a", cents: 5000})},
		{"One device, many players", "R22", deposits(5, func(i int) act {
			return act{who: string(rune('a' + i)), cents: 3000 + r.Int64N(4000), device: "shared"}
		})},
		{"New player, large deposit", "R21", []act{{who: "a", cents: 100000, fresh: true}}},
		{"Payout to an unseen account", "R03", []act{{who: "a", cents: 30000}, {who: "a", account: "p", cents: 28000, out: true}}},
		{"Unverified player", "R11", deposits(3, func(i int) act { return act{who: "a", cents: 6000 + int64(i)*1000, kyc: "pending"} })},
		{"Telling words", "R34", []act{{who: "a", cents: 15000, text: "Bitcoin Provision"}}},
		{"Everyday players", "", deposits(54, func(i int) act { return act{who: fmt.Sprint("g", i%27), cents: 1000 + 500*r.Int64N(8)} })},
	}
}

// Script plays the typologies, once at a time.
type Script struct {
	world *World
	seed  func() uint64

	mu   sync.Mutex
	now  casino.Progress
	stop context.CancelFunc
	end  sync.WaitGroup
}

// Play implements casino.Script. It reports false while a play is on.
func (s *Script) Play() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Running {
		return false
	}
	seed := s.seed()
	list := typologies(rand.New(rand.NewPCG(seed, 0)))
	s.now = casino.Progress{Running: true, Seed: seed}
	for _, t := range list {
		s.now.Lines = append(s.now.Lines, casino.Line{Name: t.name, Rules: t.rules, Of: len(t.acts)})
		s.now.Of += len(t.acts)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	s.stop = cancel
	s.end.Go(func() {
		defer cancel()
		s.play(ctx, seed, list)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now.Running = false
	})
	return true
}

// Progress implements casino.Script.
func (s *Script) Progress() casino.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.now
	p.Lines = slices.Clone(p.Lines)
	return p
}

// Close ends a play.
func (s *Script) Close() error {
	s.mu.Lock()
	if s.stop != nil {
		s.stop()
	}
	s.mu.Unlock()
	s.end.Wait()
	return nil
}

// atOnce is how many acts are played side by side.
const atOnce = 3

// codeLife is how long a TOTP code lasts.
const codeLife = 30 * time.Second

// burst is a little more than the time in which rule R15 adds deposits up.
const burst = 31 * time.Second

func (s *Script) play(ctx context.Context, seed uint64, list []typology) {
	transport := &http.Transport{DialContext: payer.DialLoopback, MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	turn := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, t := range list {
		c := &cast{world: s.world, transport: transport, name: fmt.Sprintf("%x-%d", seed&0xffffff, i), people: map[string]psd2.Player{},
			accounts: map[string]psu.Credentials{}, sources: map[string]string{}, last: map[string]time.Time{}}
		all.Go(func() {
			for _, a := range t.acts {
				if !pause(ctx, time.Until(c.ready(a))) {
					return
				}
				turn <- struct{}{}
				paid, err := c.play(ctx, a)
				<-turn
				c.last[a.who], c.last["account "+a.from()] = time.Now(), time.Now()
				s.note(i, paid, err)
			}
		})
	}
	all.Wait()
}

// pause waits, and reports false when the play was ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// note counts an act: paid, stopped (by the payer, the bank or the hub), or
// gone wrong.
func (s *Script) note(i int, paid bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.now.Lines[i]
	l.Done++
	s.now.Done++
	switch {
	case err != nil:
		l.Wrong++
		s.now.Wrong++
		s.now.Error = err.Error()
	case paid:
		l.Paid++
	default:
		l.Stopped++
	}
}

// cast are a typology's people and accounts.
type cast struct {
	world     *World
	transport *http.Transport
	name      string // unlike any other play's
	people    map[string]psd2.Player
	accounts  map[string]psu.Credentials
	sources   map[string]string    // src_… by player
	last      map[string]time.Time // by player
}

// names of players. Nobody is called so on purpose.
var (
	firstNames = []string{"Ada", "Bruno", "Carla", "Denis", "Elsa", "Fabio", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Levin", "Mona"}
	lastNames  = []string{"Ahlers", "Brandt", "Cordes", "Dietz", "Ebert", "Falk", "Gerlach", "Hinrichs", "Imhof", "Jansen", "Krohn", "Lorenz", "Mertens", "Nagel", "Ohlsen"}
)

// player is somebody's first appearance, or the same person again.
func (c *cast) player(a act) psd2.Player {
	p, known := c.people[a.who]
	if !known {
		number := 0
		for _, r := range c.name + a.who {
			number = number*31 + int(r)
		}
		number &= 0xffff
		p = psd2.Player{Reference: "play-" + c.name + "-" + a.who, KYCStatus: "verified", Residence: "DE",
			Name: firstNames[number%len(firstNames)] + " " + lastNames[number/len(firstNames)%len(lastNames)]}
		if a.kyc != "" {
			p.KYCStatus = a.kyc
		}
		registered := time.Now().AddDate(0, -3, 0)
		if a.fresh {
			registered = time.Now().Add(-time.Minute)
		}
		p.RegisteredAt = registered.UTC().Format(time.RFC3339)
		c.people[a.who] = p
	}
	p.StakeMinorSinceLastPayout = a.stake
	return p
}

// account opens an account at the sandbox when it is first used. Its holder is
// the player of that letter, or one who does not play.
func (c *cast) account(ctx context.Context, client *http.Client, letter, player string) (psu.Credentials, error) {
	if have, ok := c.accounts[letter]; ok {
		return have, nil
	}
	holder := "Rolf Unbekannt"
	if p, plays := c.people[letter]; plays {
		holder = p.Name
	} else if letter >= "p" && letter < "z" { // further accounts of his own
		holder = player
	}
	list, err := psu.Operator{Client: client, Origin: c.world.BankURL}.Create(ctx, payeeBank, psu.NewCustomers{
		Count: 1, User: "play-" + c.name + "-" + letter, Holder: holder, BalanceMinor: 2_000_000})
	if err != nil {
		return psu.Credentials{}, fmt.Errorf("open an account: %w", err)
	}
	c.accounts[letter] = list[0]
	return list[0], nil
}

// from is the letter of the account an act is paid from.
func (a act) from() string {
	if a.account != "" {
		return a.account
	}
	return a.who
}

// ready is when an act may be played: not too soon after the person's last one
// where that would be a burst, and not with the account's code of the same half
// minute, which a bank takes once (RFC 6238 §5.2).
func (c *cast) ready(a act) time.Time {
	at := time.Time{}
	if a.later {
		at = c.last[a.who].Add(burst)
	}
	if used, ok := c.last["account "+a.from()]; ok && !a.out && !a.decline {
		if next := used.Truncate(codeLife).Add(codeLife); next.After(at) {
			at = next
		}
	}
	return at
}

// play plays one act to its end. paid is false where somebody said no.
func (c *cast) play(ctx context.Context, a act) (paid bool, err error) {
	client := payer.NewClient(c.transport)
	p := c.player(a)
	letter := a.from()
	if a.out && a.account == "" {
		return c.payOut(ctx, apiclient.Payout{Player: p, SourceID: c.sources[a.who]}, a.cents)
	}
	account, err := c.account(ctx, client, letter, p.Name)
	if err != nil {
		return false, err
	}
	if a.out {
		return c.payOut(ctx, apiclient.Payout{Player: p, Payee: &apiclient.Payee{Name: p.Name, IBAN: psd2.IBAN(account.Accounts[0].IBAN)}}, a.cents)
	}
	text := a.text
	if text == "" {
		text = "Lucky Tide deposit"
	}
	device := a.device
	if device == "" {
		device = a.who
	}
	house := c.world.online
	if a.lounge {
		house = c.world.lounge
	}
	payment, err := house.client.Create(ctx, apiclient.Deposit{
		Amount: psd2.Euro(a.cents), PayeeAccountID: house.accountID, Reference: text, Player: p, ReturnURI: c.world.CasinoURL + "/back",
		DeviceID: c.name + "-" + device, Locale: "en"}, crand.Text())
	if err != nil {
		return false, fmt.Errorf("deposit: %w", err)
	}
	person := payer.Payer{Client: client, Bank: payeeBank, Credentials: account, Wish: psu.Wish{Decline: a.decline}, Now: time.Now}
	if _, err := person.Pay(ctx, payment.HostedPage.URL); err != nil && !errors.Is(err, payer.ErrNotPossible) {
		return false, fmt.Errorf("pay: %w", err)
	}
	if a.decline { // the casino sees a player who gave up
		_, err := house.client.Cancel(ctx, payment.ID, crand.Text())
		return false, err
	}
	return c.outcome(ctx, house, a.who, payment.ID)
}

// patience is how long an act waits for the hub's word; a deposit that was
// declined or has to be confirmed again stays open for longer than that.
const patience = 4 * time.Second

// outcome waits for word of a deposit.
func (c *cast) outcome(ctx context.Context, h house, who, paymentID string) (paid bool, err error) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = c.world.Casino.Await(wait, paymentID, psd2.EventSettled, psd2.EventFailed, psd2.EventAttemptFailed)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	payment, err := h.client.Get(ctx, paymentID)
	if err != nil {
		return false, fmt.Errorf("look: %w", err)
	}
	if payment.PaymentSource != nil {
		c.sources[who] = payment.PaymentSource.ID
	}
	return payment.Status.MoneyMoved(), nil
}

// payOut asks for a payout; one that waits counts as stopped, whatever for.
func (c *cast) payOut(ctx context.Context, p apiclient.Payout, cents int64) (paid bool, err error) {
	p.Amount, p.AccountID, p.Reference = psd2.Euro(cents), c.world.online.accountID, "Lucky Tide payout"
	t, err := c.world.online.client.Payout(ctx, p, crand.Text())
	var problem *apiclient.Problem
	if errors.As(err, &problem) && problem.Status < http.StatusInternalServerError {
		return false, nil // refused
	}
	if err != nil {
		return false, fmt.Errorf("payout: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	told, err := c.world.Casino.Await(wait, t.ID, "payout.executed", "payout.failed")
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	return slices.ContainsFunc(told, func(w casino.Webhook) bool { return strings.HasSuffix(w.Type, ".executed") }), nil
}
