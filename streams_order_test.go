package sctpnet_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// orderTests are the ways in which messages on many streams are exchanged. Each
// has one end send, and the other receive, count messages on each of n
// streams.
var orderTests = []struct {
	name    string
	send    func(c *sctpnet.Conn, n, count int) error
	receive func(c *sctpnet.Conn, n, count int) error
}{
	{"WriteStream and ReadMsg", sendOnConn, receiveMsgs},
	{"WriteStream and ReadStream", sendOnConn, receiveBytes},
	{"Stream and Stream", sendOnStreams, receiveOnStreams},
	{"WriteStream and Stream", sendOnConn, receiveOnStreams},
	{"Stream and ReadMsg", sendOnStreams, receiveMsgs},
	{"Stream and AcceptStream", sendOnStreams, receiveAccepted},
}

// TestOrder checks that each stream's messages arrive in the order in which
// they were sent, and unchanged, when those of many streams are mixed.
func TestOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, n := range []int{10, 1000} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				for i, tt := range orderTests {
					t.Run(tt.name, func(t *testing.T) {
						from, to := pipeOf(t, network, n)
						if i%2 != 0 {
							from, to = to, from
						}
						count := 5000 / n / min(conformance.Slowness, 5)
						watchdog(t, func() {
							together(t, []*sctpnet.Conn{from, to},
								func() error { return tt.send(from, n, count) },
								func() error { return tt.receive(to, n, count) },
							)
						})
					})
				}
			})
		}
	})
}

// streamRange calls f with each of n streams at the same time, and returns
// their first error.
func streamRange(n int, f func(id uint16) error) error {
	errs := make(chan error, n)
	for id := range n {
		go func() { errs <- f(uint16(id)) }()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// withStreams calls f with each of the first n streams.
func withStreams(c *sctpnet.Conn, n int, f func(s *sctpnet.Stream) error) error {
	return streamRange(n, func(id uint16) error {
		s, err := c.Stream(id)
		if err != nil {
			return err
		}
		defer s.Close()
		return f(s)
	})
}

// sendOnConn has some goroutines send, each on some of the streams in turn.
func sendOnConn(c *sctpnet.Conn, n, count int) error {
	const senders = 5
	return streamRange(senders, func(id uint16) error {
		var flows []flow
		for id := int(id); id < n; id += senders {
			flows = append(flows, flow{stream: uint16(id)})
		}
		for range count {
			for i := range flows {
				if _, err := c.WriteStream(flows[i].msg(), flows[i].stream); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// newFlows returns what is to be received on n streams.
func newFlows(n int) []flow {
	fs := make([]flow, n)
	for i := range fs {
		fs[i].stream = uint16(i)
	}
	return fs
}

func receiveMsgs(c *sctpnet.Conn, n, count int) error {
	buf := make([]byte, 64<<10) // less than the largest message
	flows := newFlows(n)
	for total := 0; total < n*count; {
		k, info, err := c.ReadMsg(buf)
		if err != nil {
			return err
		}
		if err := flows[info.Stream].takeMsg(buf[:k], info.More); err != nil {
			return err
		}
		if !info.More {
			total++
		}
	}
	return nil
}

func receiveBytes(c *sctpnet.Conn, n, count int) error {
	buf := make([]byte, 1000)
	flows := newFlows(n)
	for total := 0; total < n*count; {
		k, id, err := c.ReadStream(buf)
		if err != nil {
			return err
		}
		f := &flows[id]
		if err := f.take(buf[:k]); err != nil {
			return err
		}
		if len(f.rest) == 0 { // no Read gives the bytes of two messages
			total++
		}
	}
	return nil
}

// sendOnStreams has a goroutine for each stream.
func sendOnStreams(c *sctpnet.Conn, n, count int) error {
	return withStreams(c, n, func(s *sctpnet.Stream) error {
		f := flow{stream: s.ID()}
		for f.next < count {
			if _, err := s.WriteMsg(f.msg(), sctpnet.MsgInfo{}); err != nil {
				return err
			}
		}
		return s.CloseWrite()
	})
}

func receiveOnStreams(c *sctpnet.Conn, n, count int) error {
	return withStreams(c, n, func(s *sctpnet.Stream) error { return receiveOnStream(s, count) })
}

// receiveAccepted accepts all streams but stream 0, which it claims.
func receiveAccepted(c *sctpnet.Conn, n, count int) error {
	return streamRange(n, func(id uint16) error {
		take := func() (*sctpnet.Stream, error) { return c.AcceptStream(context.Background()) }
		if id == 0 {
			take = func() (*sctpnet.Stream, error) { return c.Stream(0) }
		}
		s, err := take()
		if err != nil {
			return err
		}
		defer s.Close()
		if err := receiveOnStream(s, count); err != nil {
			return err
		}
		if n, err := s.Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("stream %d: read %d, %v at its end", s.ID(), n, err)
		}
		return nil
	})
}

func receiveOnStream(s *sctpnet.Stream, count int) error {
	buf := make([]byte, 2000)
	for f := (flow{stream: s.ID()}); f.next < count || len(f.rest) > 0; {
		n, info, err := s.ReadMsg(buf)
		if err != nil {
			return fmt.Errorf("stream %d: %w", s.ID(), err)
		}
		if err := f.takeMsg(buf[:n], info.More); err != nil {
			return err
		}
	}
	return nil
}
