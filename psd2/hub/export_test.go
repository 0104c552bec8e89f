package hub

import "time"

// Linger sets how long a step waits for slow banks, in real time.
func (h *Hub) Linger(d time.Duration) { h.linger = d }
