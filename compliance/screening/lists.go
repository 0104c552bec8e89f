package screening

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/compliance/names"
)

// Names of the two lists.
const (
	Sanctions = "sanctions"
	PEP       = "pep"
)

// book is one loaded list with its index. It never changes.
type book struct {
	name      string
	hash      string
	threshold float64
	index     *names.Index
	digests   map[string]string // by entry: a hash of what it says
}

// library is what everybody is screened against; sorted by name.
type library []*book

// key names the lists, and hashes their versions.
func (l library) key() (list string, versions map[string]string, entries int) {
	versions = map[string]string{}
	var found []string
	for _, b := range l {
		found = append(found, b.name)
		versions[b.name] = b.hash
		entries += b.index.Len()
	}
	return strings.Join(found, ","), versions, entries
}

// shelf holds the newest lists that could be read. refresh is for one
// goroutine, books for any.
type shelf struct {
	every time.Duration
	dirs  []directory
	next  time.Time
	err   error
	now   atomic.Pointer[library]
}

type directory struct {
	name, path string
	threshold  float64
	print      string // names, sizes and times of the files when it was read
	last       string // the same at the last look
	book       *book
}

func (s *shelf) open(c Config) {
	s.every = c.ReloadEvery
	if c.PEP != "" {
		s.dirs = append(s.dirs, directory{name: PEP, path: c.PEP, threshold: c.PEPThreshold})
	}
	if c.Lists != "" {
		s.dirs = append(s.dirs, directory{name: Sanctions, path: c.Lists, threshold: c.Threshold})
	}
}

// books are the lists in use, nil while there are none.
func (s *shelf) books() library {
	if l := s.now.Load(); l != nil {
		return *l
	}
	return nil
}

// refresh reads directories whose files have changed. Lists that cannot be
// read leave the last good ones in use; the first time there are none, and so
// nothing is screened.
func (s *shelf) refresh(now time.Time) error {
	if now.Before(s.next) {
		return s.err
	}
	s.next, s.err = now.Add(s.every), nil
	var all library
	for i := range s.dirs {
		d := &s.dirs[i]
		if err := d.refresh(); err != nil {
			s.err = errors.Join(s.err, fmt.Errorf("%s lists: %w", d.name, err))
		}
		if d.book == nil {
			return s.err
		}
		all = append(all, d.book)
	}
	if len(all) > 0 && !slices.Equal(all, s.books()) {
		s.now.Store(&all)
	}
	return s.err
}

// refresh reads a directory that has changed, once it has been at rest from one
// look to the next: half a list that is still being copied must not be taken
// for one that has become shorter.
func (d *directory) refresh() error {
	print, err := footprint(d.path)
	if err != nil || d.book != nil && print == d.print {
		return err
	}
	resting := print == d.last || d.book == nil
	if d.last = print; !resting {
		return nil
	}
	list, err := names.LoadDir(d.path)
	if err != nil {
		return err
	}
	if after, err := footprint(d.path); err != nil || after != print {
		return err // it changed meanwhile: next time
	}
	d.print = print
	if d.book != nil && d.book.hash == list.Hash {
		return nil
	}
	b := &book{name: d.name, hash: list.Hash, threshold: d.threshold, index: names.NewIndex(list), digests: map[string]string{}}
	for i := range list.Entries {
		b.digests[list.Entries[i].ID] = digest(&list.Entries[i])
	}
	d.book = b
	return nil
}

// footprint tells whether a directory is worth reading again.
func footprint(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			fmt.Fprintln(h, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// digest hashes what an entry says.
func digest(e *names.Entry) string {
	b, err := json.Marshal(e)
	if err != nil {
		panic("screening: " + err.Error()) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// changed lists the entries that differ from an earlier state of the list, or
// were not in it.
func (b *book) changed(before map[string]string) map[string]bool {
	out := map[string]bool{}
	for id, d := range b.digests {
		if before[id] != d {
			out[id] = true
		}
	}
	return out
}
