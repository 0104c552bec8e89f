// Command example is a bank adapter in a process of its own: the NextGenPSD2
// adapter, served to a hub over NATS. Any type that implements banks.Bank can
// stand in its place.
//
//	NATS_URL=nats://hub:4222 NATS_PASSWORD_FILE=password BANK_ID=sandbank \
//	BANK_URL=https://xs2a.bank.example REDIRECT_ORIGIN=https://bank.example example
//
// It says "ready" on standard output once it takes orders, and ends on SIGTERM
// after what is under way.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/remote/adapter"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	password, err := os.ReadFile(os.Getenv("NATS_PASSWORD_FILE"))
	if err != nil {
		return err
	}
	id := os.Getenv("BANK_ID")
	bank, err := berlingroup.New(id, berlingroup.Config{
		BaseURL: os.Getenv("BANK_URL"), RedirectOrigins: []string{os.Getenv("REDIRECT_ORIGIN")},
		InsecureLoopback: os.Getenv("INSECURE_LOOPBACK") == "yes",
	}, banks.Deps{Log: log})
	if err != nil {
		return err
	}
	conn, err := nats.Connect(os.Getenv("NATS_URL"), nats.UserInfo(id, strings.TrimSpace(string(password))),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		return err
	}
	defer conn.Close()
	stop, err := adapter.Serve(conn, bank, adapter.Options{Log: log})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	<-ended
	return stop()
}
