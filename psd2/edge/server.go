package edge

import (
	"log"
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server for h with limits that no honest client meets:
// 10 s for the headers, 16 KiB of them, 2 minutes between requests. Bodies are
// limited in time by Edge.Wrap, answers by their handlers, so that streams may
// stay open. What net/http itself complains about goes to lg at level debug:
// it quotes strangers, and broken handshakes are their business.
func NewServer(h http.Handler, lg *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(discard{}, "", 0),
	}
	if lg != nil {
		server.ErrorLog = slog.NewLogLogger(lg.Handler(), slog.LevelDebug)
	}
	return server
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
