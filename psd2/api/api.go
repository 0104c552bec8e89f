package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Deps is what the room is given. Edge, Provider, Limits and Sandbox may be
// left out.
type Deps struct {
	Store    *store.DB
	Hub      *hub.Hub
	Webhooks Webhooks
	Keys     *jose.KeySet // ours: signs access tokens, published as JWKS
	Edge     *edge.Edge   // nil: a bare one
	// PublicURL is where merchants reach us, without a slash at the end. It is
	// also the OAuth issuer and the audience of access tokens.
	PublicURL  string
	Provider   page.Provider // whom the documentation names; the sandbox when empty
	Limits     Limits
	Statements StatementWriter // nil: no camt.053 reports
	Receipts   Receipts        // nil: nobody confirms a payment here
	Sandbox    bool            // no real money: POST /v1/signature/check is there
	Now        func() time.Time
	Random     io.Reader
}

// Limits are the room's rate limits. Zero fields take the defaults.
type Limits struct {
	Token    Rate `yaml:"token"`    // token requests per client address; default 5 a second, 20 at once
	Address  Rate `yaml:"address"`  // all requests per client address; default 200 a second, 400 at once
	Merchant Rate `yaml:"merchant"` // authenticated requests per merchant; default 100 a second, 200 at once
	Question Rate `yaml:"question"` // verifications of payee per merchant; default one in five seconds, 10 at once
	Rollover Rate `yaml:"rollover"` // replaced signing keys per merchant, each a letter; default one an hour, 10 at once
}

// Rate is a number of requests per second and how many may come at once. A
// negative PerSecond limits nothing.
type Rate struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

func (r Rate) limiter(now func() time.Time, perSecond float64, burst int) *edge.Limiter {
	if r.PerSecond == 0 {
		r.PerSecond = perSecond
	}
	if r.Burst <= 0 {
		r.Burst = burst
	}
	return edge.NewLimiter(now, r.PerSecond, r.Burst)
}

// room is the API's state: caches and limiters, nothing that must survive.
type room struct {
	Deps
	perToken, perAddress, perMerchant, perQuestion, perRollover *edge.Limiter

	tokens  *tokenCache
	clients *keyCache
	docs    *docs
}

// New makes the room's handler, wrapped by the edge.
func New(d Deps) (http.Handler, error) {
	if d.Store == nil || d.Hub == nil || d.Webhooks == nil || d.Keys == nil || d.Now == nil || d.Random == nil {
		return nil, errors.New("api: a dependency is missing")
	}
	if u, err := url.Parse(d.PublicURL); err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" {
		return nil, errors.New("api: the public URL must be scheme://host[:port]")
	}
	if d.Provider.Name == "" {
		d.Provider = page.SandboxProvider()
	}
	if d.Edge == nil {
		d.Edge = &edge.Edge{Now: d.Now, Random: d.Random}
	}
	docs, err := newDocs(d.PublicURL, d.Provider)
	if err != nil {
		return nil, err
	}
	a := &room{
		Deps:        d,
		perToken:    d.Limits.Token.limiter(d.Now, 5, 20),
		perAddress:  d.Limits.Address.limiter(d.Now, 200, 400),
		perMerchant: d.Limits.Merchant.limiter(d.Now, 100, 200),
		perQuestion: d.Limits.Question.limiter(d.Now, 0.2, 10),
		perRollover: d.Limits.Rollover.limiter(d.Now, 1.0/3600, 10),
		tokens:      newTokenCache(),
		clients:     newKeyCache(),
		docs:        docs,
	}
	return d.Edge.Wrap("api", edge.SecurityHeaders("", a.router())), nil
}

func (a *room) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = problem
	e.Use(a.admit)

	e.GET("/.well-known/oauth-authorization-server", a.metadata)
	e.GET("/.well-known/jwks.json", a.jwks)
	e.GET("/.well-known/receipt-jwks.json", a.receiptKeys)
	e.POST("/oauth/token", a.token)

	e.POST("/v1/payments", a.signed(ScopePaymentsWrite, a.createPayment))
	e.GET("/v1/payments", a.authorised(ScopePaymentsRead, a.listPayments))
	e.GET("/v1/payments/:id", a.authorised(ScopePaymentsRead, a.getPayment))
	e.POST("/v1/payments/:id/cancel", a.signed(ScopePaymentsWrite, a.cancelPayment))
	e.GET("/v1/payments/:id/events", a.authorised(ScopePaymentsRead, a.paymentEvents))
	e.GET("/v1/payments/:id/receipt", a.authorised(ScopePaymentsRead, a.receipt))
	e.GET("/v1/events", a.authorised(ScopePaymentsRead, a.listEvents))
	e.POST("/v1/payments/:id/refunds", a.signed(ScopeRefundsWrite, a.createRefund))
	e.GET("/v1/payments/:id/refunds", a.authorised(ScopePaymentsRead, a.listRefunds))
	e.GET("/v1/refunds/:id", a.authorised(ScopePaymentsRead, a.getTransfer(psd2.KindRefund)))
	e.POST("/v1/refunds/:id/recall", a.signed(ScopeRefundsWrite, a.recallTransfer(psd2.KindRefund)))
	e.POST("/v1/payouts", a.signed(ScopePayoutsWrite, a.createPayout))
	e.GET("/v1/payouts", a.authorised(ScopePaymentsRead, a.listPayouts))
	e.GET("/v1/payouts/:id", a.authorised(ScopePaymentsRead, a.getTransfer(psd2.KindPayout)))
	e.POST("/v1/payouts/:id/recall", a.signed(ScopePayoutsWrite, a.recallTransfer(psd2.KindPayout)))
	e.GET("/v1/accounts", a.authorised(ScopeReportsRead, a.listAccounts))
	e.GET("/v1/accounts/:id", a.authorised(ScopeReportsRead, a.getAccount))
	e.GET("/v1/accounts/:id/entries", a.authorised(ScopeReportsRead, a.listEntries))
	e.GET("/v1/accounts/:id/missing", a.authorised(ScopeReportsRead, a.listMissing))
	e.GET("/v1/settlements", a.authorised(ScopeReportsRead, a.listSettlements))
	e.POST("/v1/payee-verifications", a.signed(ScopePayoutsWrite, a.verifyPayee))
	e.GET("/v1/banks", a.authorised(ScopePaymentsRead, a.listBanks))

	e.POST("/v1/webhook-endpoints", a.signed(ScopeWebhooksWrite, a.createEndpoint))
	e.GET("/v1/webhook-endpoints", a.authorised(ScopeWebhooksWrite, a.listEndpoints))
	e.GET("/v1/webhook-endpoints/:id", a.authorised(ScopeWebhooksWrite, a.getEndpoint))
	e.POST("/v1/webhook-endpoints/:id", a.signed(ScopeWebhooksWrite, a.changeEndpoint))
	e.DELETE("/v1/webhook-endpoints/:id", a.signed(ScopeWebhooksWrite, a.deleteEndpoint))
	e.POST("/v1/webhook-endpoints/:id/keys", a.signed(ScopeWebhooksWrite, a.rotateKeys))
	e.POST("/v1/webhook-endpoints/:id/test", a.signed(ScopeWebhooksWrite, a.testEndpoint))
	e.POST("/v1/webhook-endpoints/:id/replay", a.signed(ScopeWebhooksWrite, a.replayEndpoint))
	e.GET("/v1/webhook-endpoints/:id/replays/:replay", a.authorised(ScopeWebhooksWrite, a.getReplay))
	e.GET("/v1/webhook-endpoints/:id/deliveries", a.authorised(ScopeWebhooksWrite, a.listDeliveries))
	e.POST("/v1/webhook-endpoints/:id/deliveries/:delivery/resend", a.signed(ScopeWebhooksWrite, a.resendDelivery))
	e.GET(signingKeysPath, a.authorised(ScopeKeysWrite, a.listSigningKeys))
	e.POST(signingKeysPath, a.signed(ScopeKeysWrite, a.replaceSigningKey))
	e.POST("/v1/signature/check", a.checkSignature)

	e.GET("/openapi.yaml", a.docs.contract)
	e.GET("/docs", a.docs.page)
	e.GET("/docs/style.css", a.docs.css)
	e.GET(page.StaticPrefix+"*", echo.WrapHandler(a.docs.assets))
	return e
}

// admit names the route for log and metrics and applies the address limit.
func (a *room) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx := c.Request().Context()
		if c.Path() != "" {
			edge.SetRoute(ctx, c.Path())
		}
		if err := a.perAddress.Check(edge.AddrKey(edge.ClientAddr(ctx))); err != nil {
			return err
		}
		return next(c)
	}
}

// problem is where every error of the room becomes an answer. echo's own
// errors are its router's: no such route, or not with this method.
func problem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	r, w := c.Request(), c.Response()
	var routing *echo.HTTPError
	if errors.As(err, &routing) {
		if routing.Code == http.StatusMethodNotAllowed {
			allow := strings.TrimPrefix(w.Header().Get("Allow"), "OPTIONS, ")
			edge.MethodNotAllowed(w, r, strings.Split(allow, ", ")...)
			return
		}
		err = psd2.NotFound("route")
	}
	if psd2.CodeOf(err) == psd2.CodeUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", challenge(err))
	}
	var signature *jose.SignatureError
	if errors.As(err, &signature) && signature.Digest != "" {
		edge.WriteProblem(w, r, err, edge.Member{Name: "signed_sha256", Value: signature.Digest})
		return
	}
	edge.WriteProblem(w, r, err)
}

// query reads the parameters of a request strictly: each once, none that is
// not known. A misspelt filter must not silently list everything.
func query(r *http.Request, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, psd2.Invalid("", "query_invalid", "the query is not validly encoded")
	}
	out := make(map[string]string, len(values))
	for name, list := range values {
		found := ""
		for _, k := range known {
			if k == name {
				found = k
			}
		}
		switch {
		case found == "":
			return nil, psd2.Invalid("", "query_unknown", "a query parameter is not known here: "+allowed(known))
		case len(list) != 1:
			return nil, psd2.Invalid(found, "query_repeated", "this query parameter may be given once only")
		}
		out[found] = list[0]
	}
	return out, nil
}

func allowed(known []string) string {
	if len(known) == 0 {
		return "this call takes none"
	}
	return "this call takes " + strings.Join(known, ", ")
}

// limitOf reads the length of a page.
func limitOf(q map[string]string) (int, error) {
	raw, given := q["limit"]
	if !given {
		return 20, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > 100 || strconv.Itoa(n) != raw {
		return 0, psd2.Invalid("limit", "limit_invalid", "limit must be a number from 1 to 100")
	}
	return n, nil
}

// merchantKeys are the registered keys of a merchant, parsed once.
func (a *room) merchantKeys(ctx context.Context, id string) (*psd2.Merchant, *jose.PublicKeySet, error) {
	m, err := a.Store.Merchant(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	keys, err := a.clients.parse(m)
	return m, keys, err
}
