package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// openAll opens streams until there is none left.
func openAll(t *testing.T, c *sctpnet.Conn) []*sctpnet.Stream {
	t.Helper()
	for all := []*sctpnet.Stream(nil); ; {
		start := time.Now()
		s, err := c.OpenStream()
		if err == nil {
			all = append(all, s)
			continue
		}
		wantError(t, "OpenStream", err, sctpnet.ErrNoFreeStream)
		if took := time.Since(start); took > atOnce {
			t.Errorf("took %v to find that all streams are open", took)
		}
		return all
	}
}

// TestOpenStream opens all streams on both sides: the numbers are the side's
// own, and when there are no more, it says so and can be helped.
func TestOpenStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			streams        int
			client, server int // how many it can open
		}{
			{1, 0, 0},
			{2, 0, 1},
			{3, 1, 1},
			{10, 4, 5},
			{11, 5, 5},
			{1000, 499, 500},
		} {
			t.Run(fmt.Sprint(tt.streams), func(t *testing.T) {
				client, server := pipeOf(t, network, tt.streams)
				watchdog(t, func() {
					for _, end := range []struct {
						c, peer      *sctpnet.Conn
						count, first int
					}{{client, server, tt.client, 2}, {server, client, tt.server, 1}} {
						all := openAll(t, end.c)
						if len(all) != end.count {
							t.Errorf("%d streams can be opened, want %d", len(all), end.count)
						}
						seen := make(map[uint16]bool)
						for _, s := range all {
							if id := int(s.ID()); id < end.first || id%2 != end.first%2 || id >= tt.streams || seen[s.ID()] {
								t.Errorf("stream %d was opened", id)
							}
							seen[s.ID()] = true
						}
						if len(all) == 0 {
							continue
						}
						// One that both sides close can be opened again, and is
						// worth waiting for.
						s := all[len(all)/2]
						p := claim(t, end.peer, s.ID())
						s.Close()
						var again *sctpnet.Stream
						open := conformance.Start(t, func() (_ int, err error) {
							again, err = end.c.OpenStream()
							return 0, err
						})
						open.Waits()
						p.Close()
						if _, err := open.Result(); err != nil {
							t.Fatal(err)
						}
						if again.ID() != s.ID() {
							t.Errorf("OpenStream returned stream %d, want %d", again.ID(), s.ID())
						}
						exchange(t, again, claim(t, end.peer, again.ID()))
					}
				})
			})
		}
	})
}

// TestStreamAgain claims a number again after it was closed.
func TestStreamAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for i := range 20 {
				c, s := claim(t, client, 6), claim(t, server, 6)
				exchange(t, c, s)
				if i%2 == 0 {
					c, s = s, c
				}
				if err := errors.Join(c.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// TestStreamChurn opens and closes many more streams than there are numbers, on
// one association, and checks that nothing is left of them.
func TestStreamChurn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name   string
			total  int
			client func(s *sctpnet.Stream, i int) error
			server func(s *sctpnet.Stream) error
		}{
			{"echo", 100_000, churnClient, churnServer},
			{"unused", 5000, closeStream, wantStreamEOF},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				total := tt.total / conformance.Slowness / conformance.Slowness
				churn := func(n int) { churn(t, client, server, n, (*sctpnet.Conn).OpenStream, tt.client, tt.server) }
				heap := func() int {
					var stats runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&stats)
					return int(stats.HeapAlloc)
				}
				watchdog(t, func() {
					churn(1000 / conformance.Slowness)
					before := heap()
					churn(total)
					if grown := heap() - before; grown > 1<<20 {
						t.Errorf("%d streams have left %d bytes", total, grown)
					}
				})
			})
		}
	})
}

// churn opens n streams, has each used from both ends, and closes it.
func churn(t *testing.T, client, server *sctpnet.Conn, n int, open func(*sctpnet.Conn) (*sctpnet.Stream, error), useClient func(s *sctpnet.Stream, i int) error, useServer func(s *sctpnet.Stream) error) {
	t.Helper()
	const workers = 8
	var fs []func() error
	for range workers {
		fs = append(fs, func() error {
			for i := range n / workers {
				s, err := open(client)
				if err != nil {
					return fmt.Errorf("after %d streams: %w", i, err)
				}
				if err := errors.Join(useClient(s, i), s.Close()); err != nil {
					return fmt.Errorf("after %d streams: stream %d: %w", i, s.ID(), err)
				}
			}
			return nil
		}, func() error {
			for i := range n / workers {
				s, err := server.AcceptStream(context.Background())
				if err != nil {
					return fmt.Errorf("after %d streams: %w", i, err)
				}
				if err := errors.Join(useServer(s), s.Close()); err != nil {
					return fmt.Errorf("after %d streams: the server's stream %d: %w", i, s.ID(), err)
				}
			}
			return nil
		})
	}
	together(t, []*sctpnet.Conn{client, server}, fs...)
}

// churnClient sends a byte and reads it back.
func churnClient(s *sctpnet.Stream, i int) error {
	b := [1]byte{byte(i)}
	if _, err := s.Write(b[:]); err != nil {
		return err
	}
	if _, err := s.Read(b[:]); err != nil || b[0] != byte(i) {
		return fmt.Errorf("read %d, %v; want %d", b[0], err, byte(i))
	}
	return nil
}

func churnServer(s *sctpnet.Stream) error {
	var b [10]byte
	n, err := s.Read(b[:])
	if err != nil {
		return err
	}
	_, err = s.Write(b[:n])
	return err
}

func closeStream(s *sctpnet.Stream, _ int) error { return nil }

func wantStreamEOF(s *sctpnet.Stream) error {
	if n, err := s.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("read %d, %v; want EOF", n, err)
	}
	return nil
}
