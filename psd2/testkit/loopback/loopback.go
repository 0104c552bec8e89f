// Package loopback finds addresses for servers that have to keep theirs when
// they start again.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreeAddress finds a port on loopback for a server that is to have the same one
// when it starts again. It lies below those that systems give to outgoing
// connections and to who asks for any port, one of which would take it while the
// server is away.
func FreeAddress() (address string, err error) {
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}
