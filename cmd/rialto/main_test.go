package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestMain lets the test binary be the program: tests that need real processes
// start it again with RIALTO_BE_RIALTO=1, or as a NATS server with "nats".
func TestMain(m *testing.M) {
	switch os.Getenv("RIALTO_BE_RIALTO") {
	case "nats":
		os.Exit(serveNATS(os.Args[1], os.Args[2]))
	case "1":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := dispatch(env{ctx, os.Stdout, os.Stderr}, os.Args[1:])
		stop()
		os.Exit(code)
	}
	code := testkit.Main(m)
	summary()
	os.Exit(code)
}

// program is this test binary, to be run as rialto.
func program(t testing.TB) (path string, env []string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path, []string{"RIALTO_BE_RIALTO=1"}
}
