package sctpnet

import (
	"fmt"
	"sync"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// A Message is one message of a batch: see [Conn.WriteMsgs] and
// [Conn.ReadMsgs].
type Message struct {
	// Data is the message to write, or the memory to read one into.
	Data []byte
	// N is how many bytes of Data ReadMsgs has filled. WriteMsgs does not
	// use it.
	N int
	// Info describes the message.
	Info MsgInfo
}

// batchSize is how many messages are handed over at a time.
const batchSize = 64

var batches = sync.Pool{New: func() any { return new([batchSize]engine.Msg) }}

// WriteMsgs sends messages in order, each as [Conn.WriteMsg] does, with fewer
// system calls: many small messages are several times as fast as by WriteMsg.
// It returns how many were sent. If those are not all, the error says why the
// next one was not. It waits for room as Write does. Messages of other writers
// may come between them.
func (c *Conn) WriteMsgs(msgs []Message) (n int, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	batch := batches.Get().(*[batchSize]engine.Msg)
	defer batches.Put(batch)
	defer clear(batch[:min(batchSize, len(msgs))]) // a pool must not keep the caller's memory
	for n < len(msgs) {
		k := 0
		for k < min(batchSize, len(msgs)-n) && err == nil {
			if batch[k], err = c.batched(&msgs[n+k]); err == nil {
				k++
			}
		}
		sent, serr := c.sendBatch(batch[:k])
		n += sent
		if serr != nil {
			err = c.tooLarge(serr, len(msgs[n].Data))
		}
		if err != nil {
			return n, c.opError("write", err)
		}
	}
	return n, nil
}

// batched checks a message for sending.
func (c *Conn) batched(m *Message) (engine.Msg, error) {
	msg, err := c.message(m.Data, &m.Info)
	return engine.Msg{Data: m.Data, Message: msg}, err
}

// sendBatch is send for a batch.
func (c *Conn) sendBatch(msgs []engine.Msg) (n int, err error) {
	if c.mux.Load() == nil {
		if n, err = c.e.SendBatch(msgs); err != engine.ErrTaken {
			return n, err
		}
	}
	for ; n < len(msgs); n++ {
		if _, err := c.send(msgs[n].Data, true, msgs[n].Message); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadMsgs reads messages, each as [Conn.ReadMsg] does, with fewer system
// calls, and returns how many. It waits for the first message, and then takes
// what there is, as far as msgs holds it and up to 64. It may wait for the rest of
// a message that has begun to arrive. It sets N and Info of each.
//
// A message that its Data does not hold has Info.More set and goes on in the
// next one of msgs, or with the next call. No Data may be empty.
func (c *Conn) ReadMsgs(msgs []Message) (n int, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	for i := range msgs {
		if len(msgs[i].Data) == 0 {
			return 0, c.opError("read", fmt.Errorf("message %d of %d has no Data to read into: %w", i, len(msgs), syscall.EINVAL))
		}
	}
	if len(msgs) == 0 {
		return 0, nil
	}
	batch := batches.Get().(*[batchSize]engine.Msg)
	defer batches.Put(batch)
	k := min(batchSize, len(msgs))
	defer clear(batch[:k]) // as in WriteMsgs
	for i := range k {
		batch[i].Data = msgs[i].Data
	}
	n, err = c.recvBatch(batch[:k])
	for i := range n {
		msgs[i].N, msgs[i].Info = batch[i].N, msgInfo(batch[i].Message)
	}
	return n, c.opError("read", err)
}

// recvBatch is recv for a batch.
func (c *Conn) recvBatch(msgs []engine.Msg) (n int, err error) {
	if c.mux.Load() == nil {
		if n, err = c.e.RecvBatch(msgs, true); err != engine.ErrTaken {
			return n, err
		}
	}
	m := c.mux.Load()
	return engine.RecvEach(msgs, func(p []byte, wait bool) (int, engine.Message, error) {
		if !wait {
			return m.TryRecv(p, mux.Whole)
		}
		return m.Recv(p, mux.Whole)
	})
}
