package run

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// instance names this process in leases: the same after a restart, so that it
// takes up at once what it left, and never the same as another's. The data
// directory is locked for that; the lock dies with the process.
func instance(dataDir string) (id string, unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dataDir, "instance"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("instance: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return "", nil, errors.New("another process uses this data directory")
	}
	text := make([]byte, 64)
	n, _ := f.ReadAt(text, 0) // a short read is the normal case
	id = strings.TrimSpace(string(text[:n]))
	if !psd2.IsID("prc", id) {
		id = psd2.NewID("prc", time.Now(), rand.Reader)
		if _, err := f.WriteAt([]byte(id+"\n"), 0); err != nil {
			_ = f.Close()
			return "", nil, fmt.Errorf("instance: %w", err)
		}
	}
	return id, f.Close, nil
}
