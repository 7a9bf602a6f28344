package mux

// A number is what is known of the number of a stream, over all its uses. Mux.put
// changes it.
type number struct {
	stream *Stream // that has the number, until it is closed and the number is free
	next   use     // what the peer has done since then, or while there is no Stream
	late   int     // answers to come to requests of the uses before
	spent  error   // why the number is not used again
}

// A use is what the peer has done with a stream that nobody claimed.
type use struct {
	isBegun   bool
	pieces    int  // in the queue
	hasEnded  bool // the peer has reset the stream, and not sent since
	isRefused bool // see refuse
}

// waits reports whether a stream waits to be accepted.
func (m *Mux) waits(id uint16, n number) bool { return n.next.pieces > 0 && !m.reads.has(id) }

// put changes what is known of a number, and counts.
func (m *Mux) put(id uint16, n number) {
	was := m.numbers[id]
	m.claimed += one(n.stream != nil) - one(was.stream != nil)
	m.waiting += one(m.waits(id, n)) - one(m.waits(id, was))
	if n == (number{}) {
		delete(m.numbers, id)
	} else {
		m.numbers[id] = n
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// setNext changes the use of a number that nobody claimed.
func (m *Mux) setNext(id uint16, u use) {
	n := m.numbers[id]
	n.next = u
	m.put(id, n)
}

// isUsed reports whether the peer uses a stream that nobody claimed.
func (m *Mux) isUsed(id uint16) bool { return m.numbers[id].next.isBegun }

// isSpent reports whether what arrives on a number is dropped.
func (m *Mux) isSpent(id uint16) bool {
	n := m.numbers[id]
	return n.stream == nil && n.spent != nil
}
