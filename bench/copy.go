package main

import (
	"io"
	"net"
	"sync/atomic"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// copyTests are of io.Copy, from a source that can do no more than Read, and to a
// sink that can do no more than Write.
func copyTests() []test {
	var tests []test
	for _, w := range []struct {
		name string
		pair func(n *network) (client, server net.Conn, err error)
	}{
		{"tcp", tcp.pair},
		{"sctpnet", zero.pair},
		{"sctpnet, streams: 1", streamPair},
	} {
		t := test{name: "copy", side: w.name, link: loopback}
		t.run = func(n *network) (*result.Sample, error) {
			client, server, err := w.pair(n)
			if err != nil {
				return nil, err
			}
			return t.transfer([]sender{copying(client)}, []receiver{copyingFrom(server)})
		}
		tests = append(tests, t)
	}
	return tests
}

// streamPair makes an association and opens a stream of it.
func streamPair(n *network) (client, server net.Conn, err error) {
	c, s, err := zero.pair(n)
	if err != nil {
		return nil, nil, err
	}
	from, to, err := openStreams(c.(*sctpnet.Conn), s.(*sctpnet.Conn), 1)
	if err != nil {
		return nil, nil, err
	}
	return from[0], to[0], nil
}

func copying(w io.Writer) sender {
	return func(stop *atomic.Bool) total {
		s := &source{stop: stop}
		_, err := io.Copy(w, s)
		return total{s.bytes, s.reads, err}
	}
}

func copyingFrom(r io.Reader) receiver {
	return func(arrived func(n int)) error {
		if _, err := io.Copy(sink(arrived), r); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
}

// A source fills any buffer until it is stopped, but one at least.
type source struct {
	stop         *atomic.Bool
	bytes, reads int64
}

func (s *source) Read(p []byte) (int, error) {
	if s.reads > 0 && s.stop.Load() {
		return 0, io.EOF
	}
	s.bytes += int64(len(p))
	s.reads++
	return len(p), nil
}

type sink func(n int)

func (s sink) Write(p []byte) (int, error) {
	s(len(p))
	return len(p), nil
}
