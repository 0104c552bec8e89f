package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"time"

	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

// consoles are the pages of the people who work here, on one origin: their
// sign-in and the operators' room. The listener says where they are when the
// configuration does not.
func (h *Hub) consoles(l net.Listener) (http.Handler, error) {
	origin, err := h.originAt(l, h.cfg.Ops.URL, "ops.localhost")
	if err != nil {
		return nil, err
	}
	staff, signIn, err := h.signIn(origin, "/payments")
	if err != nil {
		return nil, err
	}
	h.Staff, h.StaffOrigin = staff, origin
	room, err := ops.New(ops.Deps{
		Hub: h.hub, Store: h.Store, Bus: h.bus, Edge: h.edge, Webhooks: deliveries{h.Store, h.Webhooks}, Docs: h.cfg.Hub.PublicURL + "/docs#get-v1-webhook-endpoints", Staff: desk{h.Staff},
		Provider: h.cfg.Pages.Provider, Now: time.Now, Random: rand.Reader, Log: h.log,
	})
	if err != nil {
		signIn.Close()
		return nil, err
	}
	h.beforeShutdown = append(h.beforeShutdown, room.Close, signIn.Close)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if signIn.Handles(r.URL.Path) {
			signIn.ServeHTTP(w, r)
			return
		}
		room.ServeHTTP(w, r)
	}), nil
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
	return ops.Person{ID: u.ID, Name: u.Name, Roles: u.Roles}, err == nil, err
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
