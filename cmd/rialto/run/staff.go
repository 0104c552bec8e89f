package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

// door is where the people of a room come in.
type door struct {
	configured string // scheme://host[:port]; "": a name of loopback with the listener's port
	name       string // that name
	home       string // the page on which they begin
	desk       string // who they are: app.Operators or app.Officers
}

// staffRoom is a room of the people who work here and their sign-in to it, on one
// origin.
func (h *Hub) staffRoom(l net.Listener, d door, open func(staff *sca.Staff, origin string) (http.Handler, error)) (http.Handler, error) {
	origin, err := h.originAt(l, d.configured, d.name)
	if err != nil {
		return nil, err
	}
	c := h.cfg.SCA
	c.Origin = origin
	service, err := sca.New(c, sca.Deps{Store: h.Store, SignedIn: h.signedIn(d.home), Now: time.Now, Random: rand.Reader, Log: h.log})
	if err != nil {
		return nil, err
	}
	staff := sca.NewStaff(service, h.cfg.Staff.Roles)
	room, err := open(staff, origin)
	if err != nil {
		return nil, err
	}
	if closes, ok := room.(interface{ Close() }); ok {
		h.beforeShutdown = append(h.beforeShutdown, closes.Close)
	}
	signIn, err := app.New(app.Deps{SCA: service, Staff: staff, Origin: origin, Home: d.home, Desk: d.desk, Provider: h.cfg.Pages.Provider,
		Refused: h.refusedSignIns(d.home), Edge: h.edge, Now: time.Now, Random: rand.Reader, Log: h.log})
	if err != nil {
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

// consoles are the operators' pages.
func (h *Hub) consoles(l net.Listener) (http.Handler, error) {
	return h.staffRoom(l, door{h.cfg.Ops.URL, "ops.localhost", "/payments", app.Operators}, func(staff *sca.Staff, origin string) (http.Handler, error) {
		h.Staff, h.StaffOrigin = staff, origin
		return ops.New(ops.Deps{
			Hub: h.hub, Store: h.Store, Bus: h.bus, Edge: h.edge, Webhooks: deliveries{h.Store, h.Webhooks}, Docs: h.cfg.Hub.PublicURL + "/docs#get-v1-webhook-endpoints", Staff: desk{staff},
			Provider: h.cfg.Pages.Provider, Now: time.Now, Random: rand.Reader, Log: h.log,
		})
	})
}

// desk is ops.Staff over package sca; the two rooms do not know each other.
type desk struct{ staff *sca.Staff }

// Person implements ops.Staff.
func (d desk) Person(r *http.Request, touch bool) (ops.Person, bool, error) {
	who := d.staff.Watching
	if touch {
		who = d.staff.Session
	}
	u, err := who(r)
	if sca.NoSession(err) {
		return ops.Person{}, false, nil
	}
	return ops.Person{ID: u.ID, Name: u.Name, Rights: u.Rights}, err == nil, err
}

// LoginURL implements ops.Staff.
func (desk) LoginURL(back string) string { return app.LoginURL(back) }

// LogoutURL implements ops.Staff.
func (desk) LogoutURL() string { return "/staff/logout" }

// Enrol adds somebody who may sign in here and gives the link, good once and
// for a quarter of an hour, with which he enrols his first factor; "" when he
// is there already.
func Enrol(ctx context.Context, staff *sca.Staff, origin, login, name string, roles ...string) (link string, err error) {
	all, err := staff.Users(ctx)
	if err != nil {
		return "", err
	}
	for _, u := range all {
		if u.Login == login {
			return "", nil
		}
	}
	_, token, err := staff.Add(ctx, login, cmp.Or(name, login), roles)
	if err != nil {
		return "", err
	}
	return origin + "/sca/enrol/" + token, nil
}
