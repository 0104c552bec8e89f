package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// The bank's authorisation server (RFC 6749 with PKCE S256, RFC 7636; metadata,
// RFC 8414; iss in the answer, RFC 9207). Scope "PIS" is the pre-step, scope
// "PIS:<paymentId>" confirms an order at the bank's own pages. TPPs are told
// apart by client_id, which any may choose: here are no certificates.
const (
	wellKnown   = "/.well-known/oauth-authorization-server"
	scopePIS    = "PIS"
	codeLife    = 60 * time.Second // RFC 6749 §4.1.2 allows ten minutes, FAPI 2.0 one
	tokenLife   = time.Hour
	bearerLower = "bearer "
)

func (s *Sandbox) oauthRoutes(e *echo.Echo) {
	g := e.Group("/:bank", s.authorisationServer)
	g.GET(wellKnown, s.metadata)
	g.POST("/oauth/token", s.exchange)
	e.GET(wellKnown+"/:bank", s.metadata, s.authorisationServer)
	p := e.Group("/:bank/oauth", s.payerPages, s.authorisationServer)
	p.GET("/authorize", s.authorize)
	p.GET("/login/:token", s.showGrant)
	p.POST("/login/:token", s.postGrant)
}

// authorisationServer refuses where the bank has none.
func (s *Sandbox) authorisationServer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		b := s.banks[c.Param("bank")]
		if b == nil || b.OAuth == "" {
			return echo.ErrNotFound
		}
		c.Set(bankKey, b)
		return next(c)
	}
}

func (s *Sandbox) issuer(c echo.Context, b *bank) string { return s.origin(c.Request()) + "/" + b.ID }

func (s *Sandbox) metadata(c echo.Context) error {
	issuer := s.issuer(c, c.Get(bankKey).(*bank))
	return c.JSON(http.StatusOK, map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + "/oauth/authorize",
		"token_endpoint":                                 issuer + "/oauth/token",
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"scopes_supported":                               []string{scopePIS},
		"authorization_response_iss_parameter_supported": true,
	})
}

// grant is what a TPP asks its customer to allow.
type grant struct {
	ID          string `db:"id"`
	Bank        string `db:"bank"`
	ClientID    string `db:"client_id"`
	RedirectURI string `db:"redirect_uri"`
	State       string `db:"state"`
	Challenge   string `db:"challenge"`
	Scope       string `db:"scope"`
	PageHash    string `db:"page_hash"`
	Tries       int    `db:"tries"`
	User        string `db:"username"`
	CodeHash    string `db:"code_hash"`
	CodeUntil   int64  `db:"code_until"`
	CodeUsed    bool   `db:"code_used"`
	TokenHash   string `db:"token_hash"`
	TokenUntil  int64  `db:"token_until"`
	RefreshHash string `db:"refresh_hash"`
}

func (t *tx) saveGrant(g *grant) error {
	_, err := t.exec(`UPDATE grants SET tries=?, username=?, code_hash=?, code_until=?, code_used=?, token_hash=?, token_until=?, refresh_hash=? WHERE id=?`,
		g.Tries, g.User, g.CodeHash, g.CodeUntil, g.CodeUsed, g.TokenHash, g.TokenUntil, g.RefreshHash, g.ID)
	return err
}

var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// authorize begins a grant. Whatever is wrong before the redirect_uri is known
// to be usable is told to the customer, the rest to the TPP (RFC 6749 §4.1.2.1).
func (s *Sandbox) authorize(c echo.Context) error {
	b, q := c.Get(bankKey).(*bank), c.QueryParams()
	g := grant{ID: s.token(), Bank: b.ID, ClientID: q.Get("client_id"), RedirectURI: q.Get("redirect_uri"), State: q.Get("state"),
		Challenge: q.Get("code_challenge"), Scope: q.Get("scope")}
	if g.ClientID == "" || len(g.ClientID) > 200 || len(g.State) > 512 || !isRedirectURI(g.RedirectURI) {
		return s.message(c, http.StatusBadRequest, "oauth_bad_title", "oauth_bad_lead", "")
	}
	id, integrated := strings.CutPrefix(g.Scope, scopePIS+":")
	if !integrated {
		id = ""
	}
	switch {
	case q.Get("response_type") != "code":
		return s.refuseGrant(c, b, &g, "unsupported_response_type")
	case q.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(g.Challenge):
		return s.refuseGrant(c, b, &g, "invalid_request")
	case !integrated && g.Scope != scopePIS || integrated != (b.OAuth == OAuthIntegrated):
		return s.refuseGrant(c, b, &g, "invalid_scope")
	}
	page := s.token()
	g.PageHash = hash(page)
	ok, err := s.beginGrant(b, &g, id)
	if err != nil {
		return err
	}
	if !ok {
		return s.refuseGrant(c, b, &g, "invalid_scope")
	}
	if integrated {
		return c.Redirect(http.StatusSeeOther, "/"+b.ID+"/pay/"+page)
	}
	return c.Redirect(http.StatusSeeOther, "/"+b.ID+"/oauth/login/"+page)
}

// beginGrant stores the grant, and ties the order to it that it is about; ok is
// false when that order cannot be confirmed, or is another TPP's.
func (s *Sandbox) beginGrant(b *bank, g *grant, orderID string) (ok bool, err error) {
	err = s.file.do(func(t *tx) error {
		ok = false
		if orderID != "" {
			o, err := s.load(t.get, b.ID, orderID)
			if err != nil && !isNoRows(err) {
				return err
			}
			if err != nil || !o.waits() || o.SCAID == "" || g.RedirectURI != o.RedirectURI && g.RedirectURI != o.NokURI {
				return nil
			}
			o.GrantID, o.PageHash, o.SessionHash, o.SCAStatus = g.ID, g.PageHash, "", scaReceived
			if err := t.saveOrder(&o); err != nil {
				return err
			}
		}
		ok = true
		_, err := t.exec(`INSERT INTO grants (id, bank, client_id, redirect_uri, state, challenge, scope, page_hash) VALUES (?,?,?,?,?,?,?,?)`,
			g.ID, g.Bank, g.ClientID, g.RedirectURI, g.State, g.Challenge, g.Scope, g.PageHash)
		return err
	})
	return ok, err
}

// answerURL is the redirect_uri with an answer.
func (s *Sandbox) answerURL(c echo.Context, b *bank, g *grant, name, value string) string {
	u, err := url.Parse(g.RedirectURI)
	if err != nil {
		return g.RedirectURI
	}
	q := u.Query()
	q.Set(name, value)
	q.Set("iss", s.issuer(c, b))
	if g.State != "" {
		q.Set("state", g.State)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (s *Sandbox) refuseGrant(c echo.Context, b *bank, g *grant, code string) error {
	return c.Redirect(http.StatusSeeOther, s.answerURL(c, b, g, "error", code))
}

func (s *Sandbox) grantByPage(get getter, bankID, token string) (g grant, err error) {
	err = get(&g, `SELECT * FROM grants WHERE page_hash = ? AND bank = ?`, hash(token), bankID)
	return g, err
}

// grantPage is the login before the order.
type grantPage struct {
	frame
	Base, Client, User string
}

func (s *Sandbox) showGrant(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	g, err := s.grantByPage(s.reading(c.Request().Context()), b.ID, c.Param("token"))
	if err != nil {
		return err
	}
	return s.grantPage(c, b, &g, "", "")
}

func (s *Sandbox) grantPage(c echo.Context, b *bank, g *grant, p problem, user string) error {
	if g.CodeHash != "" || g.Tries >= maxTries {
		return s.message(c, http.StatusOK, "closed_title", "closed_grant", "")
	}
	page := grantPage{frame: frameOf(b), Base: "/" + b.ID + "/oauth/login/" + c.Param("token"), Client: g.ClientID, User: user}
	page.Problem = p
	return s.render(c, statusOf(p), "grant", "grant_title", &page, originOf(g.RedirectURI))
}

// postGrant takes the customer's yes, with his password, or his no.
func (s *Sandbox) postGrant(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	user, yes := c.FormValue("user"), c.FormValue("action") == "login"
	code, open, known := s.token(), false, false
	var g grant
	err := s.file.do(func(t *tx) (err error) {
		if g, err = s.grantByPage(t.get, b.ID, c.Param("token")); err != nil {
			return err
		}
		if open = g.CodeHash == "" && g.Tries < maxTries; !open {
			return nil
		}
		if !yes {
			g.Tries = maxTries
			return t.saveGrant(&g)
		}
		if known, err = t.knows(b, user, c.FormValue("password")); err != nil {
			return err
		}
		if g.Tries++; known {
			g.User = user
			g.allow(code, s.now())
		}
		return t.saveGrant(&g)
	})
	switch {
	case err != nil:
		return err
	case !open:
		return s.grantPage(c, b, &g, "", "")
	case known:
		return c.Redirect(http.StatusSeeOther, s.answerURL(c, b, &g, "code", code))
	case g.Tries >= maxTries:
		return s.refuseGrant(c, b, &g, "access_denied")
	}
	return s.grantPage(c, b, &g, wrongLogin, user)
}

// allow makes the code that the TPP exchanges for a token.
func (g *grant) allow(code string, now time.Time) {
	g.CodeHash, g.CodeUntil = hash(code), now.Add(codeLife).UnixMicro()
}

// granted ends a confirmation at the authorisation endpoint: a code if the
// payer said yes.
func (s *Sandbox) granted(c echo.Context, b *bank, o order) (string, error) {
	code := s.token()
	var g grant
	err := s.file.do(func(t *tx) error {
		if err := t.get(&g, `SELECT * FROM grants WHERE id = ?`, o.GrantID); err != nil {
			return err
		}
		if o.SCAStatus != scaFinalised || g.CodeUsed {
			return nil
		}
		g.User = o.SessionUser
		g.allow(code, s.now())
		return t.saveGrant(&g)
	})
	switch {
	case err != nil:
		return "", err
	case o.SCAStatus != scaFinalised:
		return s.answerURL(c, b, &g, "error", "access_denied"), nil
	case g.CodeUsed:
		return g.RedirectURI, nil
	}
	return s.answerURL(c, b, &g, "code", code), nil
}

// oauthError is a failure at the token endpoint (RFC 6749 §5.2).
type oauthError string

func (e oauthError) Error() string { return string(e) }

// exchange trades a code or a refresh token.
func (s *Sandbox) exchange(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	c.Response().Header().Set("Cache-Control", "no-store")
	if b.switches.get().Down {
		return c.NoContent(http.StatusServiceUnavailable)
	}
	access, refresh := s.token(), s.token()
	var g grant
	err := s.file.do(func(t *tx) (err error) {
		switch c.FormValue("grant_type") {
		case "authorization_code":
			g, err = s.redeem(t, c, b)
		case "refresh_token":
			err = t.get(&g, `SELECT * FROM grants WHERE refresh_hash = ? AND bank = ? AND client_id = ?`, hash(c.FormValue("refresh_token")), b.ID, c.FormValue("client_id"))
			refresh = c.FormValue("refresh_token") // kept: rotating it helps nobody who may be cut off (FAPI 2.0)
		default:
			return oauthError("unsupported_grant_type")
		}
		if isNoRows(err) {
			return oauthError("invalid_grant")
		}
		if err != nil {
			return err
		}
		g.TokenHash, g.TokenUntil, g.RefreshHash = hash(access), s.now().Add(tokenLife).UnixMicro(), hash(refresh)
		return t.saveGrant(&g)
	})
	var refused oauthError
	if errors.As(err, &refused) {
		s.revokeReplayed(c, b, refused)
		return c.JSON(http.StatusBadRequest, map[string]string{"error": string(refused)})
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "refresh_token": refresh, "scope": g.Scope,
	})
}

// redeem checks a code against all that it was issued for.
func (s *Sandbox) redeem(t *tx, c echo.Context, b *bank) (g grant, err error) {
	if err := t.get(&g, `SELECT * FROM grants WHERE code_hash = ? AND bank = ?`, hash(c.FormValue("code")), b.ID); err != nil {
		return g, err
	}
	verifier := c.FormValue("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	proof := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case g.CodeUsed, s.now().UnixMicro() > g.CodeUntil, g.RedirectURI != c.FormValue("redirect_uri"), g.ClientID != c.FormValue("client_id"),
		!verifierForm.MatchString(verifier), subtle.ConstantTimeCompare([]byte(proof), []byte(g.Challenge)) != 1:
		return g, oauthError("invalid_grant")
	}
	g.CodeUsed = true
	return g, nil
}

// revokeReplayed takes the tokens back when a code comes a second time (RFC
// 6749 §4.1.2).
func (s *Sandbox) revokeReplayed(c echo.Context, b *bank, why oauthError) {
	if why != "invalid_grant" || c.FormValue("code") == "" {
		return
	}
	err := s.file.do(func(t *tx) error {
		_, err := t.exec(`UPDATE grants SET token_hash = '', refresh_hash = '' WHERE code_hash = ? AND bank = ? AND code_used = 1`, hash(c.FormValue("code")), b.ID)
		return err
	})
	if err != nil {
		s.log.Error("sandbox: revoke", "err", err)
	}
}

// checkToken refuses a call with a bad token, and an initiation without one
// where the bank wants a login first.
func (s *Sandbox) checkToken(c echo.Context, b *bank) error {
	if b.OAuth == "" {
		return nil
	}
	value := c.Request().Header.Get("Authorization")
	if value == "" {
		if b.OAuth == OAuthPreStep && c.Request().Method == http.MethodPost && c.Param("product") != "" && c.Param("id") == "" {
			return xs2aError(http.StatusUnauthorized, "TOKEN_UNKNOWN", "", "log the customer in first: "+"/"+b.ID+wellKnown)
		}
		return nil
	}
	if len(value) < len(bearerLower) || !strings.EqualFold(value[:len(bearerLower)], bearerLower) {
		return xs2aError(http.StatusUnauthorized, "TOKEN_INVALID", "", "the token is no bearer token")
	}
	until, err := s.tokenUntil(c.Request().Context(), b, value[len(bearerLower):])
	switch {
	case isNoRows(err):
		return xs2aError(http.StatusUnauthorized, "TOKEN_UNKNOWN", "", "the token is not known")
	case err != nil:
		return err
	case s.now().UnixMicro() > until:
		return xs2aError(http.StatusUnauthorized, "TOKEN_EXPIRED", "", "the token has expired")
	}
	return nil
}

func (s *Sandbox) tokenUntil(ctx context.Context, b *bank, token string) (until int64, err error) {
	err = s.file.get(ctx, &until, `SELECT token_until FROM grants WHERE token_hash = ? AND bank = ?`, hash(token), b.ID)
	return until, err
}
