package jose

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// LoadKeySet reads the private JWKS at path. A file that others can read, or
// the group can write, is refused: its keys have to count as known.
func LoadKeySet(path string) (*KeySet, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("jose: load keys: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("jose: load keys: %w", err)
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("jose: load keys: %s may be read by others (mode %#o); it must be 0600", filepath.Base(path), info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("jose: load keys: %w", err)
	}
	return ParseKeySet(data)
}

// LoadOrCreateKeySet loads the file, or makes a new set with one key per
// algorithm and writes it when there is none.
func LoadOrCreateKeySet(path string, random io.Reader, now time.Time, algs ...Algorithm) (*KeySet, error) {
	set, err := LoadKeySet(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return set, err
	}
	if set, err = NewKeySet(random, now, algs...); err != nil {
		return nil, err
	}
	return set, set.Save(path)
}

// Save writes the set to path with mode 0600, whole or not at all: a crash
// leaves the old file or the new one, never half of one.
func (s *KeySet) Save(path string) error {
	data, err := s.Marshal()
	if err != nil {
		return err
	}
	if err := writeSecret(path, append(data, '\n')); err != nil {
		return fmt.Errorf("jose: save keys: %w", err)
	}
	return nil
}

func writeSecret(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails, as it should, once renamed
	if _, err := file.Write(data); err != nil {
		file.Close()
		return err
	}
	if err := file.Sync(); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync() // the rename itself
}
