package run

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/console"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

// listenOfficers opens the compliance console, on a listener of its own: who
// can reach the operators' pages need not reach it.
func (h *Hub) listenOfficers(o Options) error {
	l, err := listener(o.Officers, h.cfg.HTTP.Officers)
	if err != nil {
		return err
	}
	handler, err := h.officers(l)
	if err != nil {
		l.Close()
		return err
	}
	h.OfficersURL, err = h.serve("officers", l, handler, true)
	return err
}

func (h *Hub) officers(l net.Listener) (http.Handler, error) {
	origin, err := h.originAt(l, h.cfg.Officers.URL, "officers.localhost")
	if err != nil {
		return nil, err
	}
	staff, signIn, err := h.signIn(origin, "/queue")
	if err != nil {
		return nil, err
	}
	h.Officers, h.OfficersOrigin = staff, origin
	profile := goaml.Germany()
	if h.cfg.Sandbox {
		profile = goaml.Sandbox()
	}
	room, err := console.New(console.Deps{
		Desk: h.desk, Login: officersLogin{staff}, Goaml: profile, Book: h.book, Watch: h.monitor, Screening: h.screening, Merchant: h.merchantName, Edge: h.edge,
		Provider: h.cfg.Pages.Provider, Now: time.Now, Log: h.log,
	})
	if err != nil {
		signIn.Close()
		return nil, err
	}
	h.beforeShutdown = append(h.beforeShutdown, signIn.Close)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if signIn.Handles(r.URL.Path) {
			signIn.ServeHTTP(w, r)
			return
		}
		room.ServeHTTP(w, r)
	}), nil
}

func (h *Hub) merchantName(ctx context.Context, id string) string {
	m, err := h.Store.Merchant(ctx, id)
	if err != nil {
		return id
	}
	return m.Name
}

// signedIn notes sign-ins of staff in the officers' chain: no session without
// its row. home says which room it was.
func (h *Hub) signedIn(home string) func(*store.Tx, sca.User) error {
	if h.desk == nil {
		return nil
	}
	return func(tx *store.Tx, u sca.User) error {
		return h.desk.RecordIn(tx, compliance.ActorOfficer, u.ID, "officer.signed_in", u.ID, map[string]any{"roles": strings.Join(u.Roles, " "), "room": strings.TrimPrefix(home, "/")})
	}
}

// signIn is the sign-in of staff under one origin.
func (h *Hub) signIn(origin, home string) (*sca.Staff, *app.Room, error) {
	service, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: h.Store, SignedIn: h.signedIn(home), Now: time.Now, Random: rand.Reader, Log: h.log})
	if err != nil {
		return nil, nil, err
	}
	staff := sca.NewStaff(service)
	room, err := app.New(app.Deps{SCA: service, Staff: staff, Origin: origin, Home: home, Provider: h.cfg.Pages.Provider,
		Edge: h.edge, Now: time.Now, Random: rand.Reader, Log: h.log})
	return staff, room, err
}

// originAt is where people reach a listener: as configured, else under a name
// of loopback with its port.
func (h *Hub) originAt(l net.Listener, configured, name string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	scheme := "http"
	if h.cfg.HTTP.CertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + name + ":" + port, nil
}

// officerRoles are what the roles of staff may do at the desk.
var officerRoles = map[string][]compliance.Role{
	"officer":    {compliance.Analyst},
	"supervisor": {compliance.Analyst, compliance.MLRO, compliance.Admin},
	"auditor":    {compliance.Viewer, compliance.Auditor},
}

// officersLogin is console.Login over package sca.
type officersLogin struct{ staff *sca.Staff }

// Session implements console.Login.
func (o officersLogin) Session(r *http.Request) (console.Session, error) {
	in, err := o.staff.SignedIn(r)
	if sca.NoSession(err) {
		return console.Session{}, psd2.Fail(psd2.CodeUnauthorized, "signed_out", "sign in first")
	}
	if err != nil {
		return console.Session{}, err
	}
	return console.Session{
		Officer: officerOf(in.User, in.FactorID), Passkey: in.Method == sca.Passkey, Began: in.Began, Used: time.Now(), // sca ends idle sessions itself
	}, nil
}

func officerOf(u sca.User, credential string) compliance.Officer {
	o := compliance.Officer{ID: u.ID, Name: u.Name, Credential: credential}
	for _, role := range u.Roles {
		o.Roles = append(o.Roles, officerRoles[role]...)
	}
	return o
}

// SignIn implements console.Login.
func (o officersLogin) SignIn(w http.ResponseWriter, r *http.Request) {
	back := "/queue"
	if r.Method == http.MethodGet {
		back = r.URL.RequestURI()
	}
	http.Redirect(w, r, app.LoginURL(back), http.StatusSeeOther)
}

// SignOut implements console.Login: the form goes on to the page that ends the
// session.
func (o officersLogin) SignOut(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/staff/logout", http.StatusTemporaryRedirect)
}

// Colleagues implements console.Login.
func (o officersLogin) Colleagues(ctx context.Context) ([]compliance.Officer, error) {
	users, err := o.staff.Users(ctx)
	if err != nil {
		return nil, err
	}
	var list []compliance.Officer
	for _, u := range users {
		if c := officerOf(u, ""); u.Active && len(c.Roles) > 0 {
			list = append(list, c)
		}
	}
	return list, nil
}
