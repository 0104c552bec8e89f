// Package casino is a small pretend casino: the merchant of the demo. It asks
// the hub for deposits over the signed API, sends its player to the hosted
// page, and raises his balance when a verified webhook says
// payment.creditable, never because a browser came back.
//
//	GET  /            the lobby: balance, deposit form, what has happened
//	POST /deposit     asks the hub, sends the player to the hosted page
//	POST /withdraw    has the hub pay his balance back to the account he paid from
//	GET  /back        where the hosted page sends him; shows what is known
//	POST /play        plays the typologies of the rule catalogue, if there is a script
//	POST /webhook     the hub's events
//	GET  /state       the same as JSON, for programs
//	GET  /receipt/ID  the proof of what its player has confirmed, a file to keep
package casino

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// Config is what the casino is given.
type Config struct {
	URL       string // where players reach it
	AccountID string // its payee account at the hub
	Client    *apiclient.Client
	// Secrets, PublicKeys and JWKS check the three signatures of a webhook; each
	// is checked by itself, so that the demo shows that any one would do.
	Secrets, PublicKeys []string
	JWKS                []byte
	Now                 func() time.Time
	Script              Script // nil: there is no button for it
	BankURL, DocsURL    string // where a visitor looks next
}

// Players that the demo's banks know; the last one pays from somebody else's
// account.
var players = []string{"Anna Beispiel", "Bert Muster", "Clara Knapp", "Dora Nein", "Emil Sperre", "Frieda Langsam", "Gustav Still", "Hanna Beispiel"}

// Webhook is one event as it arrived.
type Webhook struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	PaymentID string    `json:"payment_id"` // or the payout's
	Sequence  int64     `json:"sequence"`
	At        time.Time `json:"at"`
	HMAC      bool      `json:"hmac_ok"`
	Ed25519   bool      `json:"ed25519_ok"`
	JWS       bool      `json:"jws_ok"`
}

// deposit is what the casino knows of one payment.
type deposit struct {
	ID     string
	Player string
	Amount psd2.Money
	Status psd2.State
	Why    psd2.FailureReason
	Credit bool
	Source string // src_…, the account that paid, once the hub knows it
}

// payout is what the casino knows of one withdrawal.
type payout struct {
	ID     string
	Player string
	Amount psd2.Money
	Status psd2.TransferState
}

// Casino is the server. Its books are in memory: it is a demo.
type Casino struct {
	cfg       Config
	mux       *http.ServeMux
	pages     *template.Template
	verifiers [3]*verify.Verifier // HMAC, ed25519, JWS

	mu       sync.Mutex
	balance  map[string]int64
	deposits []*deposit
	payouts  []*payout
	webhooks []Webhook
	seen     map[string]bool // event ids: deliveries come at least once
	changed  chan struct{}   // closed and renewed at every change
}

//go:embed casino.html casino.css
var files embed.FS

// New makes a casino.
func New(cfg Config) (*Casino, error) {
	c := &Casino{cfg: cfg, mux: http.NewServeMux(), balance: map[string]int64{}, seen: map[string]bool{}, changed: make(chan struct{})}
	var err error
	for i, v := range []verify.Config{{Secrets: cfg.Secrets}, {PublicKeys: cfg.PublicKeys}, {JWKS: cfg.JWKS}} {
		if c.verifiers[i], err = verify.New(v); err != nil {
			return nil, err
		}
	}
	c.pages, err = template.New("").Funcs(template.FuncMap{"euro": euro}).ParseFS(files, "casino.html")
	if err != nil {
		return nil, err
	}
	c.mux.HandleFunc("GET /{$}", c.lobby)
	c.mux.HandleFunc("POST /deposit", c.deposit)
	c.mux.HandleFunc("POST /withdraw", c.withdraw)
	c.mux.HandleFunc("POST /play", c.play)
	c.mux.HandleFunc("GET /back", c.back)
	c.mux.HandleFunc("POST /webhook", c.webhook)
	c.mux.HandleFunc("GET /state", c.state)
	c.mux.HandleFunc("GET /receipt/{id}", c.receipt)
	c.mux.HandleFunc("GET /casino.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "casino.css") })
	return c, nil
}

func euro(minor int64) string {
	return "€" + psd2.Euro(minor).Decimal()
}

func (c *Casino) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self' http: https:; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.NewCrossOriginProtection().Handler(c.mux).ServeHTTP(w, r)
}

// view is what the pages show.
type view struct {
	Player   string
	Players  []string
	Balance  int64
	Deposits []deposit
	Payouts  []payout
	Webhooks []Webhook
	Message  string
	Wait     bool
	Play     *Progress // nil: there is no script
	BankURL  string
	DocsURL  string
}

func (c *Casino) view(player string) view {
	var play *Progress
	if c.cfg.Script != nil {
		p := c.cfg.Script.Progress()
		play = &p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := view{Player: player, Players: players, Balance: c.balance[player], Play: play, BankURL: c.cfg.BankURL, DocsURL: c.cfg.DocsURL}
	for i := len(c.deposits) - 1; i >= 0 && len(v.Deposits) < 8; i-- {
		if c.deposits[i].Player == player {
			v.Deposits = append(v.Deposits, *c.deposits[i])
		}
	}
	for i := len(c.payouts) - 1; i >= 0 && len(v.Payouts) < 8; i-- {
		if c.payouts[i].Player == player {
			v.Payouts = append(v.Payouts, *c.payouts[i])
		}
	}
	for i := len(c.webhooks) - 1; i >= 0 && len(v.Webhooks) < 12; i-- {
		v.Webhooks = append(v.Webhooks, c.webhooks[i])
	}
	return v
}

func (c *Casino) render(w http.ResponseWriter, status int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = c.pages.ExecuteTemplate(w, "casino.html", v) // the player may be gone
}

func known(player string) string {
	for _, p := range players {
		if p == player {
			return p
		}
	}
	return players[0]
}

func (c *Casino) lobby(w http.ResponseWriter, r *http.Request) {
	c.render(w, http.StatusOK, c.view(known(r.URL.Query().Get("player"))))
}

func (c *Casino) deposit(w http.ResponseWriter, r *http.Request) {
	player := known(r.FormValue("player"))
	minor, err := strconv.ParseInt(r.FormValue("amount_minor"), 10, 64)
	if err != nil {
		http.Error(w, "choose an amount", http.StatusBadRequest)
		return
	}
	p, err := c.Deposit(r.Context(), player, minor, r.FormValue("locale"))
	if err != nil {
		v := c.view(player)
		v.Message = "The deposit could not be started."
		var problem *apiclient.Problem
		if errors.As(err, &problem) {
			v.Message += " " + problem.Detail
		}
		c.render(w, http.StatusBadGateway, v)
		return
	}
	http.Redirect(w, r, p.HostedPage.URL, http.StatusSeeOther)
}

// Deposit asks the hub for a deposit of one player.
func (c *Casino) Deposit(ctx context.Context, player string, minor int64, locale string) (*apiclient.Payment, error) {
	p, err := c.cfg.Client.Create(ctx, apiclient.Deposit{
		Amount: psd2.Euro(minor), PayeeAccountID: c.cfg.AccountID, Reference: "Lucky Tide deposit", Player: facts(player),
		ReturnURI: c.cfg.URL + "/back", State: rand.Text(), Locale: locale,
	}, rand.Text())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deposits = append(c.deposits, &deposit{ID: p.ID, Player: player, Amount: p.Amount, Status: p.Status})
	return p, nil
}

// facts are what the casino tells the hub of a player.
func facts(player string) psd2.Player {
	return psd2.Player{Reference: strings.ToLower(strings.ReplaceAll(player, " ", "-")), Name: player, KYCStatus: "verified"}
}

func (c *Casino) withdraw(w http.ResponseWriter, r *http.Request) {
	player := known(r.FormValue("player"))
	if _, err := c.Withdraw(r.Context(), player); err != nil {
		v := c.view(player)
		v.Message = "The withdrawal could not be started."
		var problem *apiclient.Problem
		if errors.As(err, &problem) {
			v.Message += " " + problem.Detail
		}
		c.render(w, http.StatusBadGateway, v)
		return
	}
	http.Redirect(w, r, "/?player="+url.QueryEscape(player), http.StatusSeeOther)
}

// Withdraw has the hub pay a player's whole balance to the account he last paid
// from. The balance is his again if the payout does not happen.
func (c *Casino) Withdraw(ctx context.Context, player string) (*apiclient.Transfer, error) {
	c.mu.Lock()
	minor, source := c.balance[player], ""
	for _, d := range c.deposits {
		if d.Player == player && d.Credit && d.Source != "" {
			source = d.Source
		}
	}
	if minor > 0 && source != "" {
		c.balance[player] = 0
	}
	c.mu.Unlock()
	if minor <= 0 || source == "" {
		return nil, errors.New("casino: nothing to pay out, or no account to pay it to")
	}
	t, err := c.cfg.Client.Payout(ctx, apiclient.Payout{Amount: psd2.Euro(minor), AccountID: c.cfg.AccountID,
		Reference: "Lucky Tide payout", Player: facts(player), SourceID: source}, rand.Text())
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.balance[player] += minor
		return nil, err
	}
	c.payouts = append(c.payouts, &payout{ID: t.ID, Player: player, Amount: t.Amount, Status: t.Status})
	return t, nil
}

// receipt is the file that "rialto verify receipt" checks.
func (c *Casino) receipt(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	jws, err := c.cfg.Client.Receipt(r.Context(), id)
	if err != nil {
		http.Error(w, "there is no receipt", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/jose")
	w.Header().Set("Content-Disposition", `attachment; filename="receipt.jws"`)
	_, _ = io.WriteString(w, jws) // the player may be gone
}

// back is only a page: what it shows comes from webhooks.
func (c *Casino) back(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("payment_id")
	c.mu.Lock()
	var d deposit
	for _, have := range c.deposits {
		if have.ID == id {
			d = *have
		}
	}
	c.mu.Unlock()
	v := c.view(known(d.Player))
	switch {
	case d.ID == "":
		v.Message = "We do not know this deposit."
	case d.Credit:
		v.Message = "Your balance is up by " + euro(d.Amount.AmountMinor) + "."
	case d.Status == psd2.StateFailed:
		v.Message = "The deposit did not happen; nothing was paid."
	case d.Status == psd2.StateSettled:
		v.Message = "The money came from an account that is not known to be yours, so it is not credited."
	default:
		v.Message, v.Wait = "Waiting for word from the bank.", true
	}
	c.render(w, http.StatusOK, v)
}

func (c *Casino) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	var event *verify.Event
	var ok [3]bool
	for i, v := range c.verifiers {
		e, err := v.Verify(r.Header, body, c.cfg.Now())
		if ok[i] = err == nil; ok[i] {
			event = e
		}
	}
	if event == nil { // one valid signature is enough for a receiver
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	if err := c.take(event, ok); err != nil {
		http.Error(w, "not understood", http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *Casino) take(e *verify.Event, ok [3]bool) error {
	var data struct {
		Payment struct {
			ID            string             `json:"id"`
			Status        psd2.State         `json:"status"`
			FailureReason psd2.FailureReason `json:"failure_reason"`
			Source        struct {
				ID string `json:"id"`
			} `json:"payment_source"`
		} `json:"payment"`
		Payout struct {
			ID     string             `json:"id"`
			Status psd2.TransferState `json:"status"`
		} `json:"payout"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[e.ID] {
		return nil
	}
	c.seen[e.ID] = true
	about := data.Payment.ID
	if data.Payout.ID != "" {
		about = data.Payout.ID
	}
	c.webhooks = append(c.webhooks, Webhook{ID: e.ID, Type: e.Type, PaymentID: about, Sequence: e.Sequence,
		At: c.cfg.Now(), HMAC: ok[0], Ed25519: ok[1], JWS: ok[2]})
	for _, d := range c.deposits {
		if d.ID != data.Payment.ID {
			continue
		}
		d.Status, d.Why = data.Payment.Status, data.Payment.FailureReason
		if s := data.Payment.Source.ID; s != "" {
			d.Source = s
		}
		if e.Type == psd2.EventCreditable && !d.Credit {
			d.Credit = true
			c.balance[d.Player] += d.Amount.AmountMinor
		}
	}
	for _, p := range c.payouts {
		if p.ID != data.Payout.ID {
			continue
		}
		if back := psd2.TransferFailed == data.Payout.Status || psd2.TransferReturned == data.Payout.Status; back && p.Status != data.Payout.Status {
			c.balance[p.Player] += p.Amount.AmountMinor
		}
		p.Status = data.Payout.Status
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// Await returns the webhooks of a payment or payout once one of the wanted types is
// among them, or with ctx's error.
func (c *Casino) Await(ctx context.Context, paymentID string, types ...string) ([]Webhook, error) {
	for {
		c.mu.Lock()
		var got []Webhook
		found := false
		for _, w := range c.webhooks {
			if w.PaymentID != paymentID {
				continue
			}
			got = append(got, w)
			for _, t := range types {
				found = found || w.Type == t
			}
		}
		changed := c.changed
		c.mu.Unlock()
		if found {
			return got, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// Balance is a player's balance in cents.
func (c *Casino) Balance(player string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.balance[player]
}

func (c *Casino) state(w http.ResponseWriter, r *http.Request) {
	v := c.view(known(r.URL.Query().Get("player")))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"player": v.Player, "balance_minor": v.Balance, "webhooks": v.Webhooks}) // the reader may be gone
}
