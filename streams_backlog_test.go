package sctpnet_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestAcceptStreams has a peer open more streams than may wait to be accepted: it
// learns that the next one is closed, both ways. The others are accepted.
func TestAcceptStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const most = 3
		client, server := pipeWith(t, network, sctpnet.Config{AcceptStreams: most})
		watchdog(t, func() {
			first := startAccept(t, t.Context(), server, 1)[0]
			var opened []*sctpnet.Stream
			for range most + 2 {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "question")
				if opened = append(opened, s); len(opened) == 1 {
					if id, err := first.Result(); id != int(s.ID()) || err != nil {
						t.Fatalf("accepted stream %d, %v; want %d", id, err, s.ID())
					}
				}
			}
			last := opened[most+1]
			wantEOF(t, last)
			conformance.WaitFor(t, "an error of Write on the stream that was closed", func() bool {
				_, err := last.Write([]byte("x"))
				return errors.Is(err, syscall.EPIPE)
			})
			for _, c := range opened[1 : most+1] {
				s := acceptStream(t, server)
				if s.ID() != c.ID() {
					t.Errorf("accepted stream %d, want %d", s.ID(), c.ID())
				}
				wantBytes(t, s, []byte("question"))
				exchange(t, s, c)
			}
		})
	})
}

// TestUnacceptedStreams has a peer send without end on a stream that nobody accepts.
// It is closed, and one that is read goes on.
func TestUnacceptedStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			write(t, c, "read")
			s := acceptStream(t, server)
			wantBytes(t, s, []byte("read"))
			greedy, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			for flood := 0; err == nil; {
				var n int
				n, err = greedy.Write(ballast()[:1<<20])
				if flood += n; flood > 64<<20 {
					t.Fatalf("%d bytes were taken", flood)
				}
			}
			wantError(t, "Write on the stream that sends so much", err, syscall.EPIPE)
			wantEOF(t, greedy)
			start := time.Now()
			exchange(t, c, s)
			if took := time.Since(start); took > 5*time.Second*conformance.Slowness {
				t.Errorf("the stream that is read waited for %v", took)
			}
		})
	})
}

// TestPushedStreams has a server open streams and send much on them, to a StreamDialer
// that accepts none. Dials go on.
func TestPushedStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listenStreams(t, network, "127.0.0.1:0")
		go func() {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			defer c.Close()
			for range 4 {
				go func() {
					for {
						s, err := c.OpenStream()
						if err != nil {
							return
						}
						s.Write(ballast()[:400_000])
						s.Close()
					}
				}()
			}
			for {
				s, err := c.AcceptStream(t.Context())
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					io.Copy(s, s)
				}()
			}
		}()
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			for range 5 {
				c, err := d.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, c)
				c.Close()
			}
		})
	})
}
