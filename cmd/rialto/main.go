// Command rialto is the open-banking instant transfer hub and everything
// around it: the server, the demo, the sandbox banks and the tools of those
// who run it.
//
// Every command exits 0 on success, 1 on a finding, 2 on wrong use. With
// --json it prints one JSON document on standard output and everything else on
// standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
)

// env is what a command may use of its process.
type env struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// command is one word of the command line.
type command struct {
	name, args, help string
	run              func(env, []string) error
}

func commands() []command {
	return []command{
		{"demo", "[--once] [--json] [--dir DIR]", "hub, sandbox banks and a demo casino on loopback", demoCommand},
		{"serve", "--config FILE", "run the hub", serveCommand},
		{"bank", "[--config FILE] [--listen ADDR]", "run the sandbox banks alone", bankCommand},
		{"merchants", "add|list …", "register merchants, their keys, accounts and return URIs", merchantsCommand},
		{"keys", "rotate|show|merchant|replace|dev-tls …", "the hub's signing keys, a merchant's and its replacement, and keys for trying TLS out", keysCommand},
		{"migrate", "--config FILE", "bring the database schema up to date", migrateCommand},
		{"rebuild-stream", "--config FILE [--after POSITION] [--json]", "make the NATS stream anew from the journal", rebuildStreamCommand},
		{"doctor", "--config FILE [--json]", "say what is wrong with a deployment", doctorCommand},
		{"certify", "--bank ID|all [--json] [--config FILE]", "say whether a bank adapter behaves as every adapter must", certifyCommand},
		{"message", "check [--json] FILE…", "say which rule an ISO 20022 message breaks", messageCommand},
		{"screen", "--lists DIR --names FILE | --pairs FILE", "compare names with sanctions lists, or with each other", screenCommand},
		{"backtest", "--events FILE [--rules FILE] [--out FILE] [--labels FILE]", "run the monitoring rules over recorded transactions", backtestCommand},
		{"train", "--config F | --events FILE [--labels FILE] --out FILE [--seed N]", "train the fraud score from a hub's history, or recorded transactions", trainCommand},
		{"bench", "lifecycle|create|webhooks|rules|refusals|screening [--json] …", "measure on this machine: complete deposits, their creation, webhooks, monitoring rules, refusals, name screening", benchCommand},
		{"users", "add|list|role|reset …", "people who work here: their roles, and the link with which they enrol", usersCommand},
		{"payers", "reset …", "payers who have lost what they confirm with", payersCommand},
		{"sca", "replay PAYMENT --config FILE [--json] | rules", "decide again what a payer had to confirm, by the rules of then; or print the rules that come with the program", scaCommand},
		{"verify", "receipt|webhook|audit|alert … FILE", "check a proof without any hub: a payer's receipt, a recorded webhook, the officers' audit chain, an alert", verifyCommand},
		{"sim", "--seeds N [--seed S] [--json]", "live made-up worlds in which everything fails, and see whether the hub keeps its promises", simCommand},
		{"version", "[--json]", "what this binary is made of", versionCommand},
	}
}

// exit codes: a finding is something the command was asked to look for.
var errFinding = errors.New("finding")

type usageError struct{ msg string }

func (e usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // most of what a request allocates dies with it; memory is cheaper than marking
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // the database's writer sits in system calls; back from one, it must not wait for a place
	}
	profiled := profile(os.Getenv("RIALTO_CPU_PROFILE"))
	code := dispatch(env{ctx, os.Stdout, os.Stderr}, os.Args[1:])
	profiled()
	stop()
	os.Exit(code)
}

// profile writes a processor profile of this process into a directory, for
// finding out what a benchmark's time goes to. No directory, no profile.
func profile(dir string) (stop func()) {
	if dir == "" {
		return func() {}
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("cpu-%d.prof", os.Getpid())))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a tool for developers
	}
}

func dispatch(e env, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(e.stderr)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(e, args[1:])
		var wrong usageError
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, &wrong):
			fmt.Fprintf(e.stderr, "rialto %s: %v\nusage: rialto %s %s\n", c.name, err, c.name, c.args)
			return 2
		case errors.Is(err, errFinding):
			return 1
		default:
			fmt.Fprintf(e.stderr, "rialto %s: %v\n", c.name, err)
			return 1
		}
	}
	fmt.Fprintf(e.stderr, "rialto: there is no command %q\n", args[0])
	usage(e.stderr)
	return 2
}

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString("rialto is an open-banking instant transfer hub.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  rialto %-10s %-34s %s\n", c.name, c.args, c.help)
	}
	_, _ = io.WriteString(w, b.String()) // nowhere to complain to
}

// flags makes a flag set whose errors are wrong use, not a finding.
func flags(e env, name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(e.stderr)
	return f
}

// parse reads flags and refuses arguments beyond those expected.
func parse(f *flag.FlagSet, args []string, positional int) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err.Error()}
	}
	if f.NArg() != positional {
		return usagef("%d arguments expected, %d given", positional, f.NArg())
	}
	return nil
}
