package kernel

import (
	"sync"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// maxBatch is how many messages one system call carries at most: with more the
// call itself is a small part of the cost already.
const maxBatch = 64

// A batch is the messages of one sendmmsg or recvmmsg. Batches are kept, as ops
// are.
type batch struct {
	conn    *conn
	msgs    []engine.Msg
	n       int  // messages sent, or received
	eager   bool // Recv: look for more messages even after having waited
	apart   bool // Recv: the next piece is of another life
	first   *op  // Recv: receives the first message
	ops     [maxBatch]op
	headers [maxBatch]mmsghdr

	send, recv func(fd uintptr) bool
}

var batches = sync.Pool{New: func() any {
	b := new(batch)
	for i := range b.ops {
		b.ops[i].init()
	}
	b.send, b.recv = b.doSend, b.doRecv
	return b
}}

func newBatch(c *conn, owner bool, msgs []engine.Msg) *batch {
	b := batches.Get().(*batch)
	b.conn, b.msgs, b.n, b.apart, b.first = c, msgs[:min(len(msgs), maxBatch)], 0, false, &b.ops[0]
	for i := range b.msgs {
		b.ops[i].conn, b.ops[i].owner = c, owner
	}
	return b
}

func (b *batch) done() {
	for i := range b.msgs {
		b.ops[i].clear()
		b.headers[i].Msghdr = unix.Msghdr{}
	}
	b.conn, b.msgs, b.first = nil, nil, nil
	batches.Put(b)
}
