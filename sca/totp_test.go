package sca_test

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

func TestCodeWorksOnce(t *testing.T) { // A01
	testkitBoth(t, func(t *testing.T, w *world) {
		a := w.withTOTP()
		code := a.code()
		must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, code))
		refused(t, w.answerCode(w.begin("pay_2", sca.Any).ID, code))
	})
}

// testkitBoth runs a test on both databases with a fresh world.
func testkitBoth(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) { test(t, newWorld(t, db, clock)) })
}

// twoHandles opens one database twice, as two processes do.
func twoHandles(t *testing.T, test func(t *testing.T, one, two *world)) {
	t.Helper()
	for name, config := range map[string]func() store.Config{
		"sqlite":   func() store.Config { return store.Config{URL: "sqlite:" + t.TempDir() + "/rialto.db"} },
		"postgres": func() store.Config { return testkit.PostgresConfig(t) },
	} {
		t.Run(name, func(t *testing.T) {
			clock, c := testkit.NewClock(), config()
			one := newWorld(t, testkit.Open(t, c, clock.Now), clock)
			two := worldWith(t, testkit.Open(t, c, clock.Now), clock, one.keys)
			test(t, one, two)
		})
	}
}

func TestCodeWorksOnceOverInstancesAndRestarts(t *testing.T) { // A02
	twoHandles(t, func(t *testing.T, one, two *world) {
		a := one.withTOTP()
		code := a.code()
		must(t, one.answerCode(one.begin("pay_1", sca.Any).ID, code))
		refused(t, two.answerCode(two.begin("pay_2", sca.Any).ID, code))
	})
}

func TestOfFiftyParallelUsesOneSucceeds(t *testing.T) { // A03
	twoHandles(t, func(t *testing.T, one, two *world) {
		a := one.withTOTP()
		code := a.code()
		challenges := make([]string, 50)
		for i := range challenges {
			challenges[i] = one.begin(fmt.Sprintf("pay_%d", i), sca.Any).ID
		}
		var won atomic.Int64
		race(challenges, func(i int, id string) {
			w := one
			if i%2 == 1 {
				w = two
			}
			if w.answerCode(id, code) == nil {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of 50 parallel uses of one code succeeded", won.Load())
		}
	})
}

func race[T any](list []T, fn func(int, T)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i, v := range list {
		wg.Go(func() { <-start; fn(i, v) })
	}
	close(start)
	wg.Wait()
}

// TestConsumeIsWonByOneOfFifty holds the primitive itself, which has no limit
// of tries before it.
func TestConsumeIsWonByOneOfFifty(t *testing.T) {
	twoHandles(t, func(t *testing.T, one, two *world) {
		var won atomic.Int64
		race(make([]struct{}, 50), func(i int, _ struct{}) {
			w := one
			if i%2 == 1 {
				w = two
			}
			first := false
			err := w.db.Tx(t.Context(), func(tx *store.Tx) (err error) {
				first, err = tx.Consume("sca.totp.step", "the one", tx.Now.Add(time.Hour))
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if first {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of 50 were first", won.Load())
		}
	})
}

// plant puts a known secret into the only TOTP factor of the payer.
func (w *world) plant(secret string) {
	w.t.Helper()
	var f struct {
		ID       string `db:"id"`
		PersonID string `db:"person_id"`
	}
	must(w.t, w.db.Get(w.t.Context(), &f, `SELECT id, person_id FROM sca_factors WHERE kind = 'totp'`))
	doc := fmt.Sprintf(`{"name":"App","totp":{"algorithm":"SHA1","digits":6,"secret":%q}}`, secret)
	sealed := w.db.SealShared("sca_factors", f.PersonID+"/"+f.ID, "sealed", []byte(doc))
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sca_factors SET sealed = ?, last_step = 0 WHERE id = ?`, sealed, f.ID)
		return err
	}))
}

func TestSameDigitsInAnotherStepAreRefused(t *testing.T) { // A04
	w := sqlite(t)
	a := w.withTOTP()
	// A pair of steps close together with the same digits is looked for, as
	// chance would find one in time.
	secret, first, second := collision(a)
	w.plant(secret)
	a.secret = secret
	w.clock.Add(time.Unix(first*30+1, 0).Sub(w.clock.Now()))
	must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
	w.clock.Add(time.Unix(second*30+1, 0).Sub(w.clock.Now()))
	refused(t, w.answerCode(w.begin("pay_2", sca.Any).ID, a.code()))
	w.clock.Add(30 * time.Second)
	must(t, w.answerCode(w.begin("pay_3", sca.Any).ID, a.code()))
}

// collision finds two steps at most two apart with the same code.
func collision(a app) (secret string, first, second int64) {
	now := a.step() + 10
	for n := 0; ; n++ {
		b := a
		b.secret = base32Of(n)
		for s := now; s < now+20000; s++ {
			for d := int64(1); d <= 2; d++ {
				if b.at(s) == b.at(s+d) {
					return b.secret, s, s + d
				}
			}
		}
	}
}

func base32Of(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	return strings.Repeat("A", 31) + string(letters[n%32])
}

func TestOnlyThisAndTheLastStepCount(t *testing.T) { // A05, A14
	w := sqlite(t)
	a := w.withTOTP()
	for _, c := range []struct {
		offset int64
		ok     bool
	}{{1, false}, {-2, false}, {-1, true}, {-1, false}, {0, true}} {
		err := w.answerCode(w.begin("pay_1", sca.Any).ID, a.at(a.step()+c.offset))
		if (err == nil) != c.ok {
			t.Errorf("the code of step %+d: %v", c.offset, err)
		}
		if c.offset == -2 {
			w.clock.Add(60 * time.Second) // the step before this one has not been used yet
		}
	}
	// A clock that is set back does not bring used steps back.
	w.clock.Add(-30 * time.Second)
	refused(t, w.answerCode(w.begin("pay_2", sca.Any).ID, a.code()))
	w.clock.Add(90 * time.Second)
	must(t, w.answerCode(w.begin("pay_3", sca.Any).ID, a.code()))
	w.clock.Add(-30 * time.Second) // nor one before them that nobody used
	refused(t, w.answerCode(w.begin("pay_4", sca.Any).ID, a.code()))
}

func TestBlankSecretsNeverVerify(t *testing.T) { // A06
	for _, secret := range []string{"", "AAAAAAAA", strings.Repeat("A", 31), "not base32!"} {
		w := sqlite(t)
		w.withTOTP()
		w.plant(secret)
		code := "328482" // what pquerna gives for no secret at step 0 is as good as any other
		if raw := (app{secret: secret, clock: w.clock, digits: 6}); secret != "not base32!" && len(secret)%8 == 0 {
			code = raw.code()
		}
		refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, code))
	}
	for _, alg := range []string{"SHA1", "SHA256", "SHA512"} {
		db := testkit.SQLite(t, nil)
		s, err := sca.New(sca.Config{Origin: origin, TOTP: sca.TOTPParams{Algorithm: alg}}, sca.Deps{Store: db})
		must(t, err)
		token, err := s.EnrolPayer(t.Context(), "psn_1")
		must(t, err)
		secret, err := s.OpenEnrolment(t.Context(), token)
		must(t, err)
		by, err := s.Session(t.Context(), sca.SessionEnrol, secret, false)
		must(t, err)
		setup, err := s.BeginTOTP(t.Context(), by, "anna")
		must(t, err)
		if n := len(secretOf(t, setup.URL)); n < 20 {
			t.Errorf("%s: the secret has %d bytes", alg, n)
		}
	}
}

func TestCodesAreExactlyTheirDigits(t *testing.T) { // A13
	w := sqlite(t)
	a := w.withTOTP()
	for !strings.HasPrefix(a.code(), "0") { // a leading zero must survive
		w.clock.Add(30 * time.Second)
	}
	code := a.code()
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
	for _, bad := range []string{strings.TrimLeft(code, "0"), " " + code, code + " ", code[:3] + " " + code[3:], "0" + code, wide, code + "\n", "+" + code[1:], ""} {
		refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, bad))
		must(t, sca.Lift(w.Service, t.Context(), w.person, sca.TOTP))
	}
	must(t, w.answerCode(w.begin("pay_2", sca.Any).ID, code))
}

// rfc6238 are the vectors of RFC 6238 appendix B.
var rfc6238 = []struct {
	at                   int64
	sha1, sha256, sha512 string
}{
	{59, "94287082", "46119246", "90693936"},
	{1111111109, "07081804", "68084774", "25091201"},
	{1111111111, "14050471", "67062674", "99943326"},
	{1234567890, "89005924", "91819424", "93441116"},
	{2000000000, "69279037", "90698825", "38618901"},
	{20000000000, "65353130", "77737706", "47863826"},
}

func TestVectorsOfTheRFC(t *testing.T) {
	seed := "12345678901234567890"
	for alg, length := range map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64} {
		secret := base32Text(strings.Repeat(seed, 4)[:length])
		for _, v := range rfc6238 {
			want := map[string]string{"SHA1": v.sha1, "SHA256": v.sha256, "SHA512": v.sha512}[alg]
			step, ok := sca.MatchTOTP(sca.TOTPParams{Algorithm: alg, Digits: 8}, secret, want, time.Unix(v.at, 0))
			if !ok || step != v.at/30 {
				t.Errorf("%s at %d: step %d, %t", alg, v.at, step, ok)
			}
			if _, ok := sca.MatchTOTP(sca.TOTPParams{Algorithm: alg, Digits: 8}, secret, want, time.Unix(v.at+60, 0)); ok {
				t.Errorf("%s at %d: taken a minute later", alg, v.at)
			}
		}
	}
}

func base32Text(s string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(s))
}

func TestOathtoolAgrees(t *testing.T) {
	tool := testkit.Tool(t, "oathtool")
	w := sqlite(t)
	by := w.enrolment()
	setup, err := w.BeginTOTP(t.Context(), by, "anna")
	must(t, err)
	run := func(args ...string) string {
		out, err := exec.Command(tool, append([]string{"--base32", "--totp", "--now", w.clock.Now().UTC().Format("2006-01-02 15:04:05 UTC")}, args...)...).CombinedOutput() //nolint:gosec // a test's own tool
		if err != nil {
			t.Fatalf("oathtool: %v %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	must(t, w.ConfirmTOTP(t.Context(), by, setup.FactorID, run(setup.Key), "App")) // theirs is taken by us
	w.clock.Add(30 * time.Second)
	a := app{secret: setup.Key, clock: w.clock, digits: 6}
	run(setup.Key, a.code()) // ours by theirs: it exits 0
	must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, run(setup.Key)))
}

func TestSetupIsShownOnceAndSealed(t *testing.T) { // A16, A17
	w := sqlite(t)
	by := w.enrolment()
	setup, err := w.BeginTOTP(t.Context(), by, "anna")
	must(t, err)
	var row struct {
		ID     string `db:"id"`
		Sealed []byte `db:"sealed"`
	}
	must(t, w.db.Get(t.Context(), &row, `SELECT id, sealed FROM sca_factors WHERE kind = 'totp'`))
	for _, form := range []string{setup.Key, base64.StdEncoding.EncodeToString(secretOf(t, setup.URL)), string(secretOf(t, setup.URL))} {
		if strings.Contains(string(row.Sealed), form) {
			t.Error("the secret lies open in the database")
		}
	}
	again, err := w.BeginTOTP(t.Context(), by, "anna")
	must(t, err)
	if again.Key == setup.Key {
		t.Error("the secret was shown a second time")
	}
	if err := w.ConfirmTOTP(t.Context(), by, setup.FactorID, app{secret: setup.Key, clock: w.clock, digits: 6}.code(), "App"); reason(err) != "factor_not_found" {
		t.Errorf("the first secret still counts: %v", err)
	}

	// The ciphertext of one person does not open in another's row.
	other := w.db.PersonID("mer_1", "player-2")
	theirs, err := w.BeginTOTP(t.Context(), w.enrolmentOf(other), "ben")
	must(t, err)
	must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sca_factors SET state = 'active', sealed = (SELECT sealed FROM sca_factors WHERE id = ?) WHERE id = ?`, again.FactorID, theirs.FactorID)
		return err
	}))
	if _, err := w.Factors(t.Context(), other); err == nil {
		t.Error("a secret that was copied to somebody else's row opens")
	}
}

func TestForeignTextStaysInItsPlaceInOtpauth(t *testing.T) { // A18
	if _, err := sca.New(sca.Config{Origin: origin, Name: "A:B"}, sca.Deps{Store: testkit.SQLite(t, nil)}); err == nil {
		t.Error("an issuer with a colon was taken")
	}
	for _, account := range []string{"anna", "a:b", "x&secret=AAAA", "y?issuer=Evil", "ä ö/ü#%", "Casino:anna&digits=8"} {
		w := sqlite(t)
		setup, err := w.BeginTOTP(t.Context(), w.enrolment(), account)
		must(t, err)
		u, err := url.Parse(setup.URL)
		must(t, err)
		label := strings.Split(strings.TrimPrefix(u.Path, "/"), ":")
		if len(label) != 2 || label[0] != "Rialto" || label[1] != strings.ReplaceAll(account, ":", " ") {
			t.Errorf("label %q of account %q", u.Path, account)
		}
		if q := u.Query(); len(q) != 5 || q.Get("secret") != setup.Key || q.Get("issuer") != "Rialto" || q.Get("digits") != "6" {
			t.Errorf("query %q of account %q", u.RawQuery, account)
		}
	}
}
