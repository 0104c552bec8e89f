package sca

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// User is a member of staff.
type User struct {
	ID     string // usr_…
	Name   string
	Login  string
	Roles  []string
	Rights []string // of these roles
	Active bool
}

// May reports whether the user has a right.
func (u User) May(right string) bool { return slices.Contains(u.Rights, right) }

// Staff is sign-in for people who work here.
type Staff struct {
	*Service
	roles Roles
}

// NewStaff makes it of a service whose origin is the consoles'.
func NewStaff(s *Service, roles Roles) *Staff { return &Staff{s, roles} }

// StaffCookie holds a session's secret.
const StaffCookie = "__Host-rs_staff"

type staffRow struct {
	ID      string `db:"id"`
	Roles   string `db:"roles"`
	Version int64  `db:"version"`
	Active  int64  `db:"active"`
	Sealed  []byte `db:"sealed"`
}

type staffDoc struct {
	Name  string `json:"name"`
	Login string `json:"login"`
}

const staffColumns = `SELECT id, roles, version, active, sealed FROM sca_staff `

func (s *Staff) user(row staffRow) (User, error) {
	plain, err := s.db.UnsealShared("sca_staff", row.ID, "sealed", row.Sealed)
	if err != nil {
		return User{}, err
	}
	var doc staffDoc
	err = json.Unmarshal(plain, &doc)
	u := User{ID: row.ID, Name: doc.Name, Login: doc.Login, Roles: strings.Fields(row.Roles), Active: row.Active == 1}
	u.Rights = s.roles.rights(u.Roles)
	return u, err
}

func (s *Service) loginHash(login string) string {
	return s.db.Lookup("sca/login", strings.ToLower(strings.TrimSpace(login)))
}

// Add registers somebody and gives the one-time link token with which he
// enrols his first factor.
func (s *Staff) Add(ctx context.Context, login, name string, roles []string) (u User, token string, err error) {
	login, name = strings.TrimSpace(login), strings.TrimSpace(name)
	if n := utf8.RuneCountInString(login); n < 2 || n > 100 || oneLine(login) != login || strings.Contains(login, " ") {
		return u, "", psd2.Invalid("login", "login_invalid", "the login must have 2 to 100 characters without blanks")
	}
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 || oneLine(name) != name {
		return u, "", psd2.Invalid("name", "name_invalid", "the name must have 1 to 100 ordinary characters")
	}
	list, err := s.roles.list(roles)
	if err != nil {
		return u, "", err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		u = User{ID: psd2.NewID(prefixUser, tx.Now, s.random), Name: name, Login: login, Roles: strings.Fields(list), Active: true}
		u.Rights = s.roles.rights(u.Roles)
		if err := s.ensurePerson(tx, u.ID, kindStaff); err != nil {
			return err
		}
		plain, err := json.Marshal(staffDoc{Name: name, Login: login})
		if err != nil {
			return err
		}
		n, err := tx.Exec(`INSERT INTO sca_staff (id, login_hash, roles, version, active, sealed, created_at) VALUES (?, ?, ?, 1, 1, ?, ?) ON CONFLICT (login_hash) DO NOTHING`,
			u.ID, s.loginHash(login), list, s.db.SealShared("sca_staff", u.ID, "sealed", plain), tx.Now.UnixMicro())
		if err != nil {
			return err
		}
		if n != 1 {
			return psd2.Fail(psd2.CodeConflict, "login_taken", "there is somebody with this login")
		}
		token, err = s.newLink(tx, link{Purpose: linkEnrol, PersonID: u.ID})
		return err
	})
	return u, token, err
}

// Users are all members of staff.
func (s *Staff) Users(ctx context.Context) ([]User, error) {
	var rows []staffRow
	if err := s.db.Select(ctx, &rows, staffColumns+`ORDER BY created_at, id`); err != nil {
		return nil, err
	}
	list := make([]User, len(rows))
	for i, row := range rows {
		var err error
		if list[i], err = s.user(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// SetRoles changes what somebody may do; no role at all dismisses him. Every
// session of his ends with it.
func (s *Staff) SetRoles(ctx context.Context, login string, roles []string) (u User, err error) {
	list, err := s.roles.list(roles)
	if err != nil {
		return u, err
	}
	var notice Notice
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		row, err := s.byLogin(tx, login)
		if err != nil {
			return err
		}
		active := int64(1)
		if list == "" {
			active = 0
		}
		if _, err := tx.Exec(`UPDATE sca_staff SET roles = ?, active = ?, version = version + 1 WHERE id = ?`, list, active, row.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM sca_sessions WHERE person_id = ?`, row.ID); err != nil {
			return err
		}
		row.Roles, row.Active = list, active
		if u, err = s.user(row); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: u.ID, What: RolesChanged})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return u, err
}

// Reset takes all factors, blocks and sessions from somebody who has lost them,
// and gives a new enrolment link. Whoever calls it has checked who asks.
func (s *Staff) Reset(ctx context.Context, login string) (u User, token string, err error) {
	var notice Notice
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		row, err := s.byLogin(tx, login)
		if err != nil {
			return err
		}
		if u, err = s.user(row); err != nil {
			return err
		}
		if notice, err = s.reset(tx, u.ID); err != nil {
			return err
		}
		token, err = s.newLink(tx, link{Purpose: linkEnrol, PersonID: u.ID})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return u, token, err
}

func (s *Staff) byLogin(tx *store.Tx, login string) (row staffRow, err error) {
	err = tx.Get(&row, staffColumns+`WHERE login_hash = ?`, s.loginHash(login))
	if errors.Is(err, sql.ErrNoRows) {
		err = psd2.NotFound("user")
	}
	return row, err
}

// Session is who a request comes from. The error satisfies NoSession when he
// has to sign in. It counts as use.
func (s *Staff) Session(r *http.Request) (User, error) {
	return s.sessionUser(r.Context(), cookieOf(r, StaffCookie), true)
}

// Watching is Session for what a page does by itself: it does not prolong.
func (s *Staff) Watching(r *http.Request) (User, error) {
	return s.sessionUser(r.Context(), cookieOf(r, StaffCookie), false)
}

func (s *Staff) sessionUser(ctx context.Context, secret string, touch bool) (User, error) {
	sess, err := s.Service.Session(ctx, SessionStaff, secret, touch)
	if err != nil {
		return User{}, err
	}
	var row staffRow
	if err := s.db.Get(ctx, &row, staffColumns+`WHERE id = ?`, sess.PersonID); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = errNoSession
		}
		return User{}, err
	}
	if row.Active != 1 || row.Version != sess.version {
		return User{}, errNoSession
	}
	return s.user(row)
}

// cookieOf gives a cookie that is there exactly once; of two of one name
// somebody else set one.
func cookieOf(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 128 {
		return ""
	}
	return found[0].Value
}

// BeginLogin starts a sign-in with a passkey. It asks for no name and is the
// same for everybody. browser is the SessionHash of a secret in the browser.
func (s *Staff) BeginLogin(ctx context.Context, browser string) (Ceremony, error) {
	assertion, session, err := s.webauthn.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, err
	}
	c := Ceremony{}
	if c.Options, err = json.Marshal(assertion.Response); err != nil {
		return c, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		c.ID, err = s.openCeremony(tx, "login", "", browser, *session)
		return err
	})
	return c, err
}

// User is a member of staff by his id.
func (s *Staff) User(ctx context.Context, id string) (User, error) {
	var row staffRow
	err := s.db.Get(ctx, &row, staffColumns+`WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, psd2.NotFound("user")
	}
	if err != nil {
		return User{}, err
	}
	return s.user(row)
}
