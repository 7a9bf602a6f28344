package sender

import (
	"math/bits"
	"sync"
	"time"
)

// A Message is what is said of a message beside its bytes.
type Message struct {
	Stream    uint16
	PPID      uint32
	Unordered bool
	Context   uint32 // means nothing here

	Policy  Policy
	Expires time.Duration
	Number  uint32 // times to be sent again, or a priority
}

// A message is kept until the peer has acknowledged all of it cumulatively.
type message struct {
	Message
	ssn    uint16 // if it was sent,
	resets uint32 // and its stream's then
	data   []byte
	sent   int    // bytes that were put into chunks
	chunks int    // of it that are on the scoreboard,
	last   uint32 // and the TSN of the last one
	over   bool   // it was given up
	out    *outStream
	lane   *lane // on the queue,
	next   *message
}

func (m *message) rest() int { return len(m.data) - m.sent }

// pools have messages by the room for data, which is leastRoom times a power of two.
var pools [25]sync.Pool

const leastRoom = 64

// newMessage returns a message with a copy of p.
func newMessage(p []byte) *message {
	class := classOf(len(p))
	m, _ := pools[class].Get().(*message)
	if m == nil {
		m = &message{data: make([]byte, 0, leastRoom<<class)}
	}
	m.data = append(m.data[:0], p...)
	return m
}

func classOf(n int) int { return bits.Len(uint(max(n, 1)-1) / leastRoom) }

// free gives a message back.
func (m *message) free() {
	*m = message{data: m.data[:0]}
	pools[classOf(cap(m.data))].Put(m)
}

// An outStream is the state of an outgoing stream.
type outStream struct {
	ssn    uint16 // of the next message
	resets uint32 // how often the numbering has begun anew
	unsent int    // messages that have not gone out entirely,
	lane   lane   // which are here if streams have turns
}
