package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/udpencap"
)

// An end is a process at one end of the network, which runs a row's script. It
// reports events to the command that started it, as lines of JSON.
type end struct {
	identity
	row *row

	mu  sync.Mutex
	out *json.Encoder

	bytes, messages atomic.Int64 // that were read
	current         atomic.Pointer[sctpnet.Conn]
	reached         sync.Once
	ln              net.Listener
}

// An identity is what the command line tells a process: its row and its end.
type identity struct {
	Row    string
	Engine engine
	Client bool
	Life   int // 0, or 1 after a restart
}

// An event is what an end reports.
type event struct {
	Kind kind
	At   time.Time

	Call, Err string  `json:",omitempty"` // of aCall, and Err of failed
	Bytes     int64   `json:",omitempty"` // of progress
	Messages  int64   `json:",omitempty"`
	State     string  `json:",omitempty"`
	Figures   figures `json:",omitzero"` // of finished
}

type kind string

const (
	listening kind = "listening"
	quarter   kind = "quarter" // of something has been read
	ready     kind = "ready"   // for the fault
	aCall     kind = "call"    // has returned
	progress  kind = "progress"
	finished  kind = "finished"
	failed    kind = "failed"
)

// Figures are of one end.
type figures struct {
	Bytes, Messages time.Duration // that the transfers took
	SentAgain       uint64        // DATA chunks
	ReceivedTwice   uint64
	MTU             int
}

// runEnd runs an end. When the input ends, because the command that started it stops
// it or is gone, it writes the stacks of its goroutines and exits.
func runEnd(arg string) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		os.Exit(1)
	}()
	e := &end{out: json.NewEncoder(os.Stdout)}
	err := json.Unmarshal([]byte(arg), &e.identity)
	if err == nil {
		e.row = rowNamed(e.Row)
		go e.tellProgress()
		script := e.row.server
		if e.Client {
			script = e.row.client
		}
		err = script(e)
	}
	if err != nil {
		e.tell(event{Kind: failed, Err: err.Error()})
		os.Exit(1)
	}
}

func (e *end) tell(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.At.IsZero() {
		v.At = time.Now()
	}
	e.out.Encode(v)
}

func (e *end) tellProgress() {
	for range time.Tick(time.Second) {
		v := event{Kind: progress, Bytes: e.bytes.Load(), Messages: e.messages.Load()}
		if c := e.current.Load(); c != nil {
			v.State = state(c)
		}
		e.tell(v)
	}
}

// state describes an association, for a row that fails.
func state(c *sctpnet.Conn) string {
	s, err := c.Status()
	if err != nil {
		return err.Error()
	}
	n, err := c.Stats()
	if err != nil {
		return err.Error()
	}
	p := s.Primary
	return fmt.Sprintf("%v, %d unacknowledged, peer's window %d; %d sent again, %d received twice; CWND %d, SRTT %v, RTO %v, MTU %d",
		s.State, s.Unacked, s.PeerWindow, n.Retransmitted, n.Duplicates, p.CWND, p.SRTT, p.RTO, p.MTU)
}

// tellCall tells how a call ended.
func (e *end) tellCall(call string, err error) {
	e.tell(event{Kind: aCall, Call: call, Err: nameOf(err)})
}

// nameOf returns the name of a known error, or else its text.
func nameOf(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{nil, "nil"},
		{io.EOF, "EOF"},
		{syscall.ECONNREFUSED, "ECONNREFUSED"},
		{syscall.ECONNRESET, "ECONNRESET"},
		{syscall.EPIPE, "EPIPE"},
		{syscall.ETIMEDOUT, "ETIMEDOUT"},
		{os.ErrDeadlineExceeded, "ErrDeadlineExceeded"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return err.Error()
}

const port = 4000

func (e *end) listen() (err error) {
	lc := sctpnet.ListenConfig{Config: e.row.config}
	e.ln, err = lc.Listen(context.Background(), string(e.Engine), fmt.Sprintf("%s:%d", serverAddress, port))
	if err == nil {
		e.tell(event{Kind: listening})
	}
	return err
}

func (e *end) accept() (*sctpnet.Conn, error) {
	c, err := e.ln.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*sctpnet.Conn), nil
}

// dial dials the server, from a port that is 0 for any.
func (e *end) dial(port0 int) (*sctpnet.Conn, error) {
	d := sctpnet.Dialer{Config: e.row.config}
	if port0 != 0 {
		d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(clientSubnet + ".2")}}, Port: port0}
	}
	c, err := d.Dial(string(e.Engine), fmt.Sprintf("%s:%d", serverAddress, port))
	if err != nil {
		return nil, err
	}
	return c.(*sctpnet.Conn), nil
}

// connect returns the next association with the other end. The client sends a
// greeting on it: the server may have accepted one that the client had given up
// during the handshake. Streams are claimed first, because their messages may arrive
// before the greeting.
func (e *end) connect(port0, streams int) (c *sctpnet.Conn, claimed []*sctpnet.Stream, err error) {
	if e.Client {
		if c, err = e.dial(port0); err == nil {
			claimed, err = claim(c, streams)
		}
		if err == nil {
			_, err = c.Write(greeting)
		}
		return c, claimed, err
	}
	for {
		if c, err = e.accept(); err == nil {
			claimed, err = claim(c, streams)
		}
		if err == nil {
			b := make([]byte, len(greeting))
			if _, err = io.ReadFull(c, b); err == nil && !bytes.Equal(b, greeting) {
				err = fmt.Errorf("the greeting is %q", b)
			}
		}
		if c == nil || !errors.Is(err, syscall.ECONNRESET) {
			return c, claimed, err
		}
		c.Close()
	}
}

// claim claims the first n streams after stream 0.
func claim(c *sctpnet.Conn, n int) (list []*sctpnet.Stream, err error) {
	for i := range n {
		s, err := c.Stream(uint16(i + 1))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

var greeting = []byte("hello")

// flows returns the flow to the other end, and the one from it.
func (e *end) flows(n int, done *atomic.Int64) (out, in *flow) {
	const ofClient, ofServer = 1, 2
	out, in = &flow{seed: ofServer, n: n}, &flow{seed: ofClient, n: n}
	if e.Client {
		out.seed, in.seed = in.seed, out.seed
	}
	done.Store(0)
	in.done = done
	in.at = func() {
		e.reached.Do(func() { e.tell(event{Kind: quarter}) })
	}
	return out, in
}

// transfer sends and receives the row's amounts on two associations at the same
// time. The first one is from port0, if that is not 0.
func (e *end) transfer(port0 int) error {
	c, _, err := e.connect(port0, 0)
	if err != nil {
		return err
	}
	e.current.Store(c)
	d, claimed, err := e.connect(0, streams)
	if err != nil {
		return err
	}
	if e.row.crash && e.Life == 0 { // so that a kill is a crash: nothing more is delivered
		c.SetLinger(0)
		d.SetLinger(0)
	}
	var ofBytes, ofMessages figures
	err = together(
		func() (err error) {
			out, in := e.flows(e.row.amount.bytes, &e.bytes)
			ofBytes.Bytes, err = e.measure(c, &ofBytes, func() error { return exchangeBytes(c, out, in) })
			return name(err, "bytes")
		},
		func() (err error) {
			out, in := e.flows(e.row.amount.messages, &e.messages)
			ofMessages.Messages, err = e.measure(d, &ofMessages, func() error { return exchangeMessages(claimed, out, in) })
			return name(err, "messages")
		})
	if err == nil {
		// The peer's end may depend on what is sent after Close, once more if it is lost.
		err = name(udpencap.Wait(context.Background()), "after Close")
	}
	if err != nil {
		return err
	}
	e.tell(event{Kind: finished, Figures: figures{
		Bytes:         ofBytes.Bytes,
		Messages:      ofMessages.Messages,
		SentAgain:     ofBytes.SentAgain + ofMessages.SentAgain,
		ReceivedTwice: ofBytes.ReceivedTwice + ofMessages.ReceivedTwice,
		MTU:           ofBytes.MTU,
	}})
	return nil
}

func name(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// measure does one exchange and ends its association.
func (e *end) measure(c *sctpnet.Conn, f *figures, exchange func() error) (time.Duration, error) {
	start := time.Now()
	if err := exchange(); err != nil {
		return 0, err
	}
	took := time.Since(start)
	stats, mtu, err := finish(c, e.Client)
	f.SentAgain, f.ReceivedTwice, f.MTU = stats.Retransmitted, stats.Duplicates, mtu
	return took, err
}

// untilError calls f until it fails, and reports that.
func (e *end) untilError(call string, f func() error) func() error {
	return func() error {
		for {
			if err := f(); err != nil {
				e.tellCall(call, err)
				return nil
			}
		}
	}
}
