package run

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/console"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
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
	profile := goaml.Germany()
	if h.cfg.Sandbox {
		profile = goaml.Sandbox()
	}
	return h.staffRoom(l, door{h.cfg.Officers.URL, "officers.localhost", "/queue", app.Officers}, func(staff *sca.Staff, origin string) (http.Handler, error) {
		h.Officers, h.OfficersOrigin = staff, origin
		return console.New(console.Deps{
			Desk: h.desk, Login: officersLogin{staff}, Goaml: profile, Book: h.book, Watch: h.monitor, Screening: h.screening, Merchant: h.merchantName, Edge: h.edge,
			Provider: h.cfg.Pages.Provider, Now: time.Now, Log: h.log,
		})
	})
}

func (h *Hub) merchantName(ctx context.Context, id string) string {
	m, err := h.Store.Merchant(ctx, id)
	if err != nil {
		return id
	}
	return m.Name
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
	for _, right := range u.Rights {
		if role, ok := console.Rights[right]; ok {
			o.Roles = append(o.Roles, role)
		}
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

// Names implements console.Login.
func (o officersLogin) Names(ctx context.Context) (map[string]string, error) {
	users, err := o.staff.Users(ctx)
	names := make(map[string]string, len(users))
	for _, u := range users {
		names[u.ID] = u.Name
	}
	return names, err
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
