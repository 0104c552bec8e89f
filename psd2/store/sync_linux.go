package store

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes a file's content durable, but not its times: in a log that is
// written over again and again, that is one write to the disk instead of two.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
