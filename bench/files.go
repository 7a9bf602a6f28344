package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

const (
	files = 3
	// naiveScale is by how much smaller files are where they would take
	// minutes; the time is scaled up.
	naiveScale = 5
)

// fileTests send three files over a path of 20 ms: one after the other over a
// TCP connection, or each over a stream of its own.
func fileTests() []test {
	base := test{name: "files", param: fmt.Sprintf("3 × %d MB", *fileSize/1e6), link: delayed, limit: 3 * time.Minute}
	plain, naive, streams := base, base, base
	plain.side = "tcp, one connection"
	plain.run = func(n *network) (*result.Sample, error) {
		client, server, err := tcp.pair(n)
		if err != nil {
			return nil, err
		}
		return sendFiles([]io.Writer{client, client, client}, []io.Reader{server}, 1, true)
	}
	naive.side = "ishidawataru, three streams"
	naive.run = func(n *network) (*result.Sample, error) {
		client, server, err := ishidawataru.pair(n)
		if err != nil {
			return nil, err
		}
		var w []io.Writer
		for i := range files {
			w = append(w, naiveStream{client.(*sctp.SCTPConn), uint16(i)})
		}
		return sendFiles(w, []io.Reader{server}, naiveScale, false)
	}
	streams.side = "sctpnet, three streams"
	streams.run = func(n *network) (*result.Sample, error) {
		client, server, err := zero.pair(n)
		if err != nil {
			return nil, err
		}
		from, to, err := openStreams(client.(*sctpnet.Conn), server.(*sctpnet.Conn), files)
		if err != nil {
			return nil, err
		}
		var w []io.Writer
		var r []io.Reader
		for i := range files {
			w, r = append(w, from[i]), append(r, to[i])
		}
		return sendFiles(w, r, 1, false)
	}
	tuned := streams
	tuned.side = "sctpnet, three streams, rmem_max 8 MB"
	tuned.rmemMax = largeBuffers
	return []test{plain, naive, streams, tuned}
}

// A naiveStream writes as programs do that were written for TCP.
type naiveStream struct {
	conn *sctp.SCTPConn
	id   uint16
}

func (s naiveStream) Write(p []byte) (int, error) {
	return s.conn.SCTPWrite(p, &sctp.SndRcvInfo{Stream: s.id})
}

// sendFiles sends a file by each writer, at once or in turn, and measures until
// all of it has been read.
func sendFiles(writers []io.Writer, readers []io.Reader, scale int, inTurn bool) (*result.Sample, error) {
	size := *fileSize / scale
	done := make(chan error, len(writers))
	start := time.Now()
	write := func(w io.Writer) {
		p := make([]byte, 64<<10)
		for left := size; left > 0; left -= len(p) {
			p = p[:min(left, len(p))]
			if _, err := w.Write(p); err != nil {
				done <- err
				return
			}
		}
	}
	if inTurn {
		go func() {
			for _, w := range writers {
				write(w)
			}
		}()
	} else {
		for _, w := range writers {
			go write(w)
		}
	}
	for _, r := range readers {
		go func() {
			_, err := io.CopyN(io.Discard, r, int64(size)*int64(len(writers)/len(readers)))
			done <- err
		}()
	}
	for range readers {
		if err := <-done; err != nil {
			return nil, err
		}
	}
	s := time.Since(start).Seconds() * float64(scale)
	return &result.Sample{Values: map[string]float64{"s": s, "MB/s": float64(*fileSize) * files / s / 1e6}}, nil
}
