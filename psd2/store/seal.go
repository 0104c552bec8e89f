package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// keyring holds the deployment's key, from which everything else is derived
// (HKDF, RFC 5869).
type keyring struct {
	wrap   cipher.AEAD // wraps persons' keys
	shared cipher.AEAD // seals what belongs to no person
	macs   sync.Pool   // of hash.Hash, for keyed hashes: to set one up costs more than to use it
	check  string      // says whether a database belongs to this key
	random io.Reader
}

// loadKeyring reads the deployment's key. A missing file is made; that is
// harmless, because a database sealed with another key refuses to open (see
// checkKey).
func loadKeyring(path string, random io.Reader) (*keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeKey(path, random); err == nil || errors.Is(err, os.ErrExist) { // another process may have been faster
			text, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store: deployment key: %w", err)
	}
	master, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(master) != 32 {
		return nil, errors.New("store: the deployment key file must hold 32 bytes in base64")
	}
	return newKeyring(master, random), nil
}

// makeKey writes a new key with mode 0600. The file appears whole or not at
// all, and outlives a loss of power as surely as the data it opens.
func makeKey(path string, random io.Reader) error {
	master := make([]byte, 32)
	if _, err := io.ReadFull(random, master); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(master) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename it never replaces a key
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newKeyring(master []byte, random io.Reader) *keyring {
	k := &keyring{random: random}
	sub := func(label string) []byte {
		b, err := hkdf.Key(sha256.New, master, nil, "rialto/"+label, 32)
		if err != nil {
			panic(err) // lengths are constant
		}
		return b
	}
	k.wrap, k.shared = gcm(sub("wrap")), gcm(sub("shared"))
	look := sub("lookup")
	k.macs.New = func() any { return hmac.New(sha256.New, look) }
	k.check = base64.RawURLEncoding.EncodeToString(sub("check")[:12])
	return k
}

func gcm(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is constant
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return g
}

func (k *keyring) lookup(kind, value string) string {
	m := k.macs.Get().(hash.Hash)
	defer k.macs.Put(m)
	m.Reset()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(kind))) // length-prefixed: no two pairs read the same
	m.Write(n[:])
	io.WriteString(m, kind)
	io.WriteString(m, value)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Versions of a sealed value. Version 2 names the key of a person: he may come
// back after his erasure and get another one, and what the first one sealed has
// to be told from what is damaged.
const (
	sealVersion = 1 // version, nonce, ciphertext with tag
	sealKeyed   = 2 // version, the key's id, nonce, ciphertext with tag
)

// dataKey is a person's key with its id.
type dataKey struct {
	cipher.AEAD
	id [8]byte
}

func newDataKey(raw []byte) dataKey {
	sum := sha256.Sum256(append([]byte("rialto/key-id\x00"), raw...))
	return dataKey{gcm(raw), [8]byte(sum[:8])}
}

// seal encrypts. Additional data bind the value to its place.
func (k *keyring) seal(a cipher.AEAD, plain []byte, place string) []byte {
	head := []byte{sealVersion}
	if d, ok := a.(dataKey); ok {
		head = append([]byte{sealKeyed}, d.id[:]...)
	}
	n := len(head)
	out := make([]byte, n+12, n+12+len(plain)+a.Overhead())
	copy(out, head)
	if _, err := io.ReadFull(k.random, out[n:]); err != nil {
		panic("store: no randomness: " + err.Error()) // a repeated nonce would break the seal
	}
	return a.Seal(out, out[n:], plain, []byte(place))
}

// unseal opens what seal made for the same place. What was sealed with a key
// that the person no longer has is ErrErased.
func (k *keyring) unseal(a cipher.AEAD, sealed []byte, place string) ([]byte, error) {
	n := 1
	if len(sealed) > 0 && sealed[0] == sealKeyed {
		n += len(dataKey{}.id)
	}
	if len(sealed) < n+12+a.Overhead() || sealed[0] != sealVersion && sealed[0] != sealKeyed {
		return nil, fmt.Errorf("%w: a sealed value is cut short", ErrDamaged)
	}
	if d, ok := a.(dataKey); ok && d.other(sealed) {
		return nil, ErrErased
	}
	plain, err := a.Open(nil, sealed[n:n+12], sealed[n+12:], []byte(place))
	if err != nil {
		return nil, fmt.Errorf("%w: a sealed value does not open: changed, moved, or sealed with another key", ErrDamaged)
	}
	return plain, nil
}

func place(table, row, column string) string { return table + "\x00" + row + "\x00" + column }

// SealShared encrypts what belongs to no person, with the deployment's key,
// for one place in the database.
func (db *DB) SealShared(table, row, column string, plain []byte) []byte {
	return db.keys.seal(db.keys.shared, plain, place(table, row, column))
}

// UnsealShared opens what SealShared made for the same place.
func (db *DB) UnsealShared(table, row, column string, sealed []byte) ([]byte, error) {
	return db.keys.unseal(db.keys.shared, sealed, place(table, row, column))
}

// checkKey refuses a database that was sealed with another deployment key:
// what it wrote could never be read together.
func (db *DB) checkKey(ctx context.Context) error {
	return db.Tx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(`INSERT INTO meta (name, value) VALUES ('key_check', ?) ON CONFLICT (name) DO NOTHING`, db.keys.check); err != nil {
			return err
		}
		var stored string
		if err := tx.Get(&stored, `SELECT value FROM meta WHERE name = 'key_check'`); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(stored), []byte(db.keys.check)) != 1 {
			return errors.New("store: this database was sealed with another deployment key: check database.key_file")
		}
		return nil
	})
}
