package names

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"time"
)

// Kind is what a listed entry is; it decides how its names are read (a ship has no title, a company has a legal form).
type Kind uint8

// Kinds of listed entries.
const (
	KindUnknown Kind = iota
	KindPerson
	KindOrganization
	KindVessel
	KindAircraft
)

// String returns the name that Pair takes as schema.
func (k Kind) String() string {
	return [...]string{"Unknown", "Person", "Organization", "Vessel", "Aircraft"}[k]
}

// KindOf reads a schema name as data sets use them (Person, Company, Organization, LegalEntity, Vessel, …), in any case.
func KindOf(schema string) Kind {
	switch strings.ToLower(strings.TrimSpace(schema)) {
	case "person", "individual", "p":
		return KindPerson
	case "company", "organization", "organisation", "entity", "enterprise", "publicbody", "e":
		return KindOrganization
	case "vessel", "ship":
		return KindVessel
	case "aircraft", "airplane":
		return KindAircraft
	}
	return KindUnknown // LegalEntity may be either a person or a company
}

// Role is what a list says of one of the names of an entry.
type Role uint8

// Roles of a name.
const (
	Primary        Role = iota
	Alias               // also, formerly or now known as
	WeakAlias           // the list itself calls it weak or low quality: nicknames, initials, parts of names
	OriginalScript      // the name as its bearer writes it
)

// Name is one writing of the name of an entry.
type Name struct {
	Text string
	Role Role
}

// Entry is one listed person, organisation, vessel or aircraft.
type Entry struct {
	ID        string // source and the list's own number: "ofac-sdn:26188", "un:6908555"
	Kind      Kind
	Names     []Name   // the first one is the name it is listed under
	Born      []Born   // alternatives; empty when the list gives none
	Countries []string // ISO 3166-1 alpha-2, of nationality, citizenship and address, sorted
	Programs  []string // what it is listed under, as the list writes it
}

// Name returns the name the entry is listed under.
func (e *Entry) Name() string {
	if len(e.Names) == 0 {
		return ""
	}
	return e.Names[0].Text
}

// Source is one list within a List.
type Source struct {
	Name    string    // "ofac-sdn", "ofac-cons", "un", "eu", or the file name of a plain CSV
	Files   []string  // slash-separated, relative to the directory that was loaded
	Date    time.Time // when the publisher generated it, UTC; zero when the files do not say
	Entries int
	Names   int
	Skipped int // rows that could not be read, or that belong to no entry
	Note    string
}

// List is what was loaded from one directory: the entries of all lists found there, and what a report must say of them.
type List struct {
	Hash    string // SHA-256, hex, over the names, lengths and bytes of the files in order: the version of the list
	Sources []Source
	Ignored []string // CSV and XML files that no reader recognised; shown to the operator, never silently dropped
	Entries []Entry  // in the order of the files
}

// Date is the newest date among the sources, zero when none has one.
func (l *List) Date() time.Time {
	var newest time.Time
	for _, s := range l.Sources {
		if s.Date.After(newest) {
			newest = s.Date
		}
	}
	return newest
}

// Names counts the names of all entries.
func (l *List) Names() int {
	n := 0
	for i := range l.Entries {
		n += len(l.Entries[i].Names)
	}
	return n
}

// ErrNoList says that a directory holds no list that any reader knows.
var ErrNoList = errors.New("names: no sanctions list found")

// LoadDir reads every list below dir, at any depth. See LoadFS.
func LoadDir(dir string) (*List, error) {
	l, err := LoadFS(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	return l, nil
}

// LoadFS reads every list in fsys: sdn.csv and cons_prim.csv with the files that belong to them, XML by its root element, any other
// CSV by its header (id, name). It fails when a file that it recognises cannot be read, or when there is none at all: screening
// against nothing must never look like screening without hits.
func LoadFS(fsys fs.FS) (*List, error) {
	files, err := candidates(fsys)
	if err != nil {
		return nil, fmt.Errorf("names: list files: %w", err)
	}
	l := &List{}
	taken := map[string]bool{}
	digest := sha256.New()
	for _, file := range files {
		if taken[file] {
			continue
		}
		group, read := readerFor(fsys, file, files)
		if read == nil {
			continue
		}
		for _, f := range group {
			taken[f] = true
		}
		source, entries, err := readGroup(fsys, group, read, digest)
		if err != nil {
			return nil, err
		}
		l.Sources = append(l.Sources, source)
		l.Entries = append(l.Entries, entries...)
	}
	for _, file := range files {
		if !taken[file] {
			l.Ignored = append(l.Ignored, file)
		}
	}
	if len(l.Entries) == 0 {
		return nil, ErrNoList
	}
	l.Hash = hex.EncodeToString(digest.Sum(nil))
	return l, nil
}

func candidates(fsys fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && name != "." {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if ext := strings.ToLower(path.Ext(name)); !d.IsDir() && (ext == ".csv" || ext == ".xml") {
			files = append(files, name)
		}
		return nil
	})
	sort.Strings(files)
	return files, err
}

// reader turns the contents of one list's files, in the order of its group, into entries.
type reader func(files []content) (Source, []Entry, error)

// content is one file of a group; a file that is not there has no data.
type content struct {
	name string
	data []byte
}

func readGroup(fsys fs.FS, group []string, read reader, digest io.Writer) (Source, []Entry, error) {
	contents := make([]content, len(group))
	for i, name := range group {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return Source{}, nil, fmt.Errorf("names: read %s: %w", name, err)
		}
		fmt.Fprintf(digest, "%s\x00%d\x00", name, len(data))
		_, _ = digest.Write(data) // a hash never fails
		contents[i] = content{name: strings.ToLower(path.Base(name)), data: data}
	}
	source, entries, err := read(contents)
	if err != nil {
		return Source{}, nil, fmt.Errorf("names: %s: %w", group[0], err)
	}
	if len(entries) == 0 {
		return Source{}, nil, fmt.Errorf("names: %s: no entries", group[0])
	}
	source.Files = group
	source.Entries = len(entries)
	for i := range entries {
		source.Names += len(entries[i].Names)
	}
	return source, entries, nil
}

// readerFor returns the files that belong together and the reader for them, or nil when file is not the main file of a list.
func readerFor(fsys fs.FS, file string, files []string) ([]string, reader) {
	base := strings.ToLower(path.Base(file))
	switch {
	case base == "sdn.csv":
		return siblings(file, files, "alt.csv", "add.csv", "sdn_comments.csv"), readOFAC("ofac-sdn")
	case base == "cons_prim.csv":
		return siblings(file, files, "cons_alt.csv", "cons_add.csv", "cons_comments.csv"), readOFAC("ofac-cons")
	}
	head := headOf(fsys, file)
	switch {
	case path.Ext(base) == ".xml" && strings.Contains(head, "<CONSOLIDATED_LIST"):
		return []string{file}, readUN
	case path.Ext(base) == ".xml" && strings.Contains(head, "sanctionEntity"), path.Ext(base) == ".xml" && strings.Contains(head, "eu.europa.ec/fpi/fsd"):
		return []string{file}, readEU
	case path.Ext(base) == ".csv" && plainHeader(head) != nil:
		return []string{file}, readPlain(strings.TrimSuffix(base, ".csv"))
	}
	return nil, nil
}

func siblings(file string, files []string, others ...string) []string {
	group := []string{file}
	for _, f := range files {
		for _, other := range others {
			if path.Dir(f) == path.Dir(file) && strings.EqualFold(path.Base(f), other) {
				group = append(group, f)
			}
		}
	}
	return group
}

func headOf(fsys fs.FS, file string) string {
	f, err := fsys.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head, _ := io.ReadAll(io.LimitReader(f, 4096)) // what cannot be read here is refused when it is read in full
	return string(head)
}
