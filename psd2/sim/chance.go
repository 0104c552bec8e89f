package sim

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// chance is the world's dice. All draws come from one seed, in the order in
// which things happen.
type chance struct{ *rand.Rand }

func newChance(seed uint64, what string) chance {
	h := fnv.New64a()
	h.Write([]byte(what))
	return chance{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// in says yes once in n times.
func (c chance) in(n int) bool { return c.IntN(n) == 0 }

// between draws a time from a to b.
func (c chance) between(a, b time.Duration) time.Duration {
	return a + time.Duration(c.Int64N(int64(b-a)+1))
}

// oneOf draws from a list.
func oneOf[T any](c chance, list ...T) T { return list[c.IntN(len(list))] }

// randomness is the io.Reader that a process under test draws ids from.
type randomness struct{ c chance }

func (r randomness) Read(b []byte) (int, error) {
	var word [8]byte
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(word[:], r.c.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}
