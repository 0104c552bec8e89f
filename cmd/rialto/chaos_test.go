package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// A thousand kills take a while, so they are made in parts, each with a hub, a
// bank and a merchant of its own and with its own end: what became of every
// payment is judged before the next part begins. Where RIALTO_CHAOS_OUT names a
// file, each part leaves a line in it, and a run that was interrupted is taken
// up where it ended, as long as the program is the same.

const (
	killsAlways = 6 // in every run of the tests
	killsChaos  = 1000
	killsAtOnce = 250 // of one part

	// A part that takes longer has come to a halt.
	timeOfKill = 8 * time.Second
	timeOfPart = 10 * time.Minute // to start, and to judge
)

// verdict is what some kills came to. The last four must be zero.
type verdict struct {
	Killed     string  `json:"killed"` // whom
	Database   string  `json:"database"`
	Program    string  `json:"program,omitempty"` // which was killed
	Seed       uint64  `json:"seed,omitempty"`
	Kills      int     `json:"kills"`
	InStart    int     `json:"kills_during_start,omitempty"`
	Wiped      int     `json:"stores_deleted,omitempty"`
	Flipped    int     `json:"stores_damaged,omitempty"`
	Refused    int     `json:"stores_refused,omitempty"` // by the server itself, and deleted then
	Seconds    float64 `json:"seconds"`                  // of load
	Payments   int     `json:"payments"`
	Settled    int     `json:"settled"`
	Deliveries int     `json:"deliveries"`

	DoubleSubmissions int `json:"double_submissions"`
	WrongFinal        int `json:"wrong_final"`
	LostEvents        int `json:"lost_events"`
	Stuck             int `json:"stuck"`
}

func (v *verdict) add(o verdict) {
	v.Kills, v.InStart, v.Wiped, v.Flipped, v.Refused = v.Kills+o.Kills, v.InStart+o.InStart, v.Wiped+o.Wiped, v.Flipped+o.Flipped, v.Refused+o.Refused
	v.Seconds, v.Payments, v.Settled, v.Deliveries = v.Seconds+o.Seconds, v.Payments+o.Payments, v.Settled+o.Settled, v.Deliveries+o.Deliveries
	v.DoubleSubmissions, v.WrongFinal = v.DoubleSubmissions+o.DoubleSubmissions, v.WrongFinal+o.WrongFinal
	v.LostEvents, v.Stuck = v.LostEvents+o.LostEvents, v.Stuck+o.Stuck
}

func (v *verdict) line() string {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // it has numbers and words only
	}
	return string(line)
}

// note prints a part's verdict and keeps it. One with findings fails its test
// and is not taken for done.
func (v *verdict) note(t *testing.T) {
	fmt.Println(v.line())
	path := os.Getenv("RIALTO_CHAOS_OUT")
	if path == "" || t.Failed() {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, v.line())
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// noted are the parts that runs of this very program have left behind.
func noted() (list []verdict, program string, err error) {
	path := os.Getenv("RIALTO_CHAOS_OUT")
	if path == "" {
		return nil, "", nil
	}
	if program, err = fingerprint(); err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, program, nil
	}
	if err != nil {
		return nil, "", err
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var v verdict
		if json.Unmarshal(s.Bytes(), &v) == nil && v.Program == program { // the last line may be half a one
			list = append(list, v)
		}
	}
	return list, program, nil
}

// fingerprint tells this program from others.
func fingerprint() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// summary prints what all parts came to, whom they killed and on which database.
func summary() {
	list, _, err := noted()
	if err != nil || len(list) == 0 {
		return
	}
	totals := map[string]*verdict{}
	for _, v := range list {
		key := v.Killed + " " + v.Database
		if totals[key] == nil {
			totals[key] = &verdict{Killed: v.Killed, Database: v.Database}
		}
		totals[key].add(v)
	}
	var sorted []*verdict
	for _, v := range totals {
		sorted = append(sorted, v)
	}
	slices.SortFunc(sorted, func(a, b *verdict) int {
		return cmp.Or(cmp.Compare(a.Killed, b.Killed), cmp.Compare(a.Database, b.Database))
	})
	for _, v := range sorted {
		fmt.Println("total", v.line())
	}
}

// killing makes some kills in a fleet of its own and judges what became of it.
type killing func(ctx context.Context, t *testing.T, o fleet.Options, v verdict, random *rand.Rand)

// onBothDatabases runs a kill test with the hub on SQLite and on PostgreSQL.
func onBothDatabases(t *testing.T, killed string, test killing) {
	t.Run("sqlite", func(t *testing.T) {
		inParts(t, verdict{Killed: killed, Database: "sqlite"}, killsAlways, killsChaos, func(*testing.T) fleet.Options { return fleet.Options{} }, test)
	})
	t.Run("postgres", func(t *testing.T) {
		testkit.PostgresConfig(t) // or skip
		inParts(t, verdict{Killed: killed, Database: "postgres"}, killsAlways, killsChaos, func(t *testing.T) fleet.Options {
			db := testkit.PostgresConfig(t)
			return fleet.Options{DatabaseURL: db.URL, KeyFile: db.KeyFile}
		}, test)
	})
}

// inParts makes as many kills as are wanted and were not made before: few in every
// run of the tests, many where RIALTO_CHAOS is 1. Ctrl-C ends the part under way,
// which counts for nothing, and stops everything it started.
func inParts(t *testing.T, v verdict, few, many int, options func(*testing.T) fleet.Options, test killing) {
	t.Helper()
	kills := few
	if os.Getenv("RIALTO_CHAOS") == "1" {
		kills = many
	}
	if n, err := strconv.Atoi(os.Getenv("RIALTO_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("RIALTO_SEED"), 10, 64); err == nil {
		seed = s
	}
	before, program, err := noted()
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, b := range before {
		if b.Killed == v.Killed && b.Database == v.Database {
			done += b.Kills
		}
	}
	if done > 0 {
		t.Logf("%d of %d kills were made before: see %s, remove it to begin anew", done, kills, os.Getenv("RIALTO_CHAOS_OUT"))
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for done < kills {
		v.Program, v.Seed, v.Kills = program, seed, min(killsAtOnce, kills-done)
		ok := t.Run(fmt.Sprintf("%d-%d", done+1, done+v.Kills), func(t *testing.T) {
			t.Logf("RIALTO_SEED=%d", v.Seed)
			ctx, cancel := context.WithTimeout(ctx, time.Duration(v.Kills)*timeOfKill+timeOfPart)
			defer cancel()
			test(ctx, t, options(t), v, rand.New(rand.NewPCG(v.Seed, 1)))
		})
		if !ok || ctx.Err() != nil {
			t.Fatalf("ended after %d of %d kills", done, kills)
		}
		done, seed = done+v.Kills, seed+1
	}
}
