package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// ErrErased says that a person's data key is gone, and with it what it sealed.
var ErrErased = errors.New("store: the person's data was erased")

// dataKey is a person's key, ready for use.
type dataKey struct {
	aead cipher.AEAD
	raw  [32]byte
}

// keyring holds the deployment's key, from which everything else is derived
// (HKDF, RFC 5869), and a bounded cache of persons' keys.
type keyring struct {
	wrap   cipher.AEAD // wraps persons' keys
	shared cipher.AEAD // seals what belongs to no person
	look   []byte      // keyed hashes
	check  string      // says whether a database belongs to this key
	random io.Reader

	mu      sync.RWMutex
	persons map[string]dataKey
}

// maxPersons bounds the cache of persons' keys.
const maxPersons = 20_000

// loadKeyring reads the deployment's key. A missing file is made, with mode
// 0600; that is harmless, because a database sealed with another key refuses
// to open (see checkKey).
func loadKeyring(path string, random io.Reader) (*keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		master := make([]byte, 32)
		if _, err := io.ReadFull(random, master); err != nil {
			return nil, fmt.Errorf("store: make deployment key: %w", err)
		}
		text = []byte(base64.StdEncoding.EncodeToString(master) + "\n")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("store: deployment key: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("store: deployment key: %w", err)
		}
		_, e1 := f.Write(text)
		if err := errors.Join(e1, f.Sync(), f.Close()); err != nil {
			return nil, fmt.Errorf("store: deployment key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("store: deployment key: %w", err)
	}
	master, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(master) != 32 {
		return nil, errors.New("store: the deployment key file must hold 32 bytes in base64")
	}
	return newKeyring(master, random)
}

func newKeyring(master []byte, random io.Reader) (*keyring, error) {
	k := &keyring{random: random, persons: map[string]dataKey{}}
	sub := func(label string) []byte {
		b, err := hkdf.Key(sha256.New, master, nil, "rialto/"+label, 32)
		if err != nil {
			panic(err) // lengths are constant
		}
		return b
	}
	k.wrap, k.shared, k.look = gcm(sub("wrap")), gcm(sub("shared")), sub("lookup")
	k.check = base64.RawURLEncoding.EncodeToString(sub("check")[:12])
	return k, nil
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
	m := hmac.New(sha256.New, k.look)
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(kind))) // length-prefixed: no two pairs read the same
	m.Write(n[:])
	io.WriteString(m, kind)
	io.WriteString(m, value)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (k *keyring) person(id string) (dataKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, ok := k.persons[id]
	return d, ok
}

func (k *keyring) remember(id string, d dataKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for old := range k.persons {
		if len(k.persons) < maxPersons {
			break
		}
		delete(k.persons, old)
	}
	k.persons[id] = d
}

func (k *keyring) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.persons, id)
}

const sealVersion = 1

// seal encrypts: version, nonce, ciphertext with tag. Additional data bind the
// value to its place.
func (k *keyring) seal(a cipher.AEAD, plain []byte, place string) []byte {
	out := make([]byte, 13, 13+len(plain)+a.Overhead())
	out[0] = sealVersion
	if _, err := io.ReadFull(k.random, out[1:13]); err != nil {
		panic("store: no randomness: " + err.Error()) // a repeated nonce would break the seal
	}
	return a.Seal(out, out[1:13], plain, []byte(place))
}

func (k *keyring) unseal(a cipher.AEAD, sealed []byte, place string) ([]byte, error) {
	if len(sealed) < 13+a.Overhead() || sealed[0] != sealVersion {
		return nil, errors.New("store: a sealed value is damaged")
	}
	plain, err := a.Open(nil, sealed[1:13], sealed[13:], []byte(place))
	if err != nil {
		return nil, errors.New("store: a sealed value does not open: damaged, moved, or sealed with another key")
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

// PersonID names a merchant's player without saying who he is.
func (db *DB) PersonID(merchantID, playerReference string) string {
	return "psn_" + db.Lookup("person/"+merchantID, playerReference)
}

// personKey finds a person's key, and makes one when create is set.
func (tx *Tx) personKey(id string, create bool) (dataKey, error) {
	if d, ok := tx.db.keys.person(id); ok {
		return d, nil
	}
	if d, ok := tx.newKeys[id]; ok {
		return d, nil
	}
	var d dataKey
	var wrapped []byte
	err := tx.Get(&wrapped, `SELECT wrapped FROM person_keys WHERE person_id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		if !create {
			return d, ErrErased
		}
		if _, err := io.ReadFull(tx.db.keys.random, d.raw[:]); err != nil {
			return d, err
		}
		wrapped = tx.db.keys.seal(tx.db.keys.wrap, d.raw[:], place("person_keys", id, "wrapped"))
		n, err := tx.Exec(`INSERT INTO person_keys (person_id, wrapped, created_at) VALUES (?, ?, ?) ON CONFLICT (person_id) DO NOTHING`,
			id, wrapped, tx.Now.UnixMicro())
		if err != nil {
			return d, err
		}
		if n == 0 { // another process was faster
			return d, errChanged
		}
	} else if err != nil {
		return d, err
	} else if d, err = tx.db.keys.unwrap(id, wrapped); err != nil {
		return d, err
	}
	d.aead = gcm(d.raw[:])
	if tx.newKeys == nil {
		tx.newKeys = map[string]dataKey{}
	}
	tx.newKeys[id] = d
	return d, nil
}

func (k *keyring) unwrap(id string, wrapped []byte) (dataKey, error) {
	var d dataKey
	raw, err := k.unseal(k.wrap, wrapped, place("person_keys", id, "wrapped"))
	if err != nil {
		return d, err
	}
	copy(d.raw[:], raw)
	d.aead = gcm(d.raw[:])
	return d, nil
}

// personKeyRead finds a person's key outside a transaction.
func (db *DB) personKeyRead(ctx context.Context, id string) (dataKey, error) {
	if d, ok := db.keys.person(id); ok {
		return d, nil
	}
	var wrapped []byte
	err := db.Get(ctx, &wrapped, `SELECT wrapped FROM person_keys WHERE person_id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return dataKey{}, ErrErased
	}
	if err != nil {
		return dataKey{}, err
	}
	d, err := db.keys.unwrap(id, wrapped)
	if err == nil {
		db.keys.remember(id, d)
	}
	return d, err
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
