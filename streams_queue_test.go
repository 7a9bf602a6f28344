package sctpnet_test

import (
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// An unclaimed is a stream that the sender has not claimed.
type unclaimed struct {
	*sctpnet.Conn
	id uint16
}

func (u unclaimed) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = u.WriteStream(p[n:min(len(p), n+1000)], u.id)
		n += k
	}
	return n, err
}

// TestUnclaimed sends on streams that nobody has claimed, while one that is
// claimed is read: the messages wait for a Read of the Conn.
func TestUnclaimed(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			for id := uint16(20); id < 25; id++ {
				if _, err := client.WriteStream([]byte{byte(id)}, id); err != nil {
					t.Fatal(err)
				}
			}
			write(t, client, "plain")
			exchange(t, c, s)
			for id := uint16(20); id < 25; id++ {
				var b [10]byte
				n, info, err := server.ReadMsg(b[:])
				if n != 1 || b[0] != byte(id) || info.Stream != id || err != nil {
					t.Errorf("read %q on stream %d, %v; want %d", b[:n], info.Stream, err, id)
				}
			}
			wantBytes(t, server, []byte("plain"))
			// One that is claimed now gets what comes, and what is there.
			if _, err := client.WriteStream([]byte("there"), 20); err != nil {
				t.Fatal(err)
			}
			exchange(t, c, s)
			s20 := claim(t, server, 20)
			if _, err := client.WriteStream([]byte(" and comes"), 20); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, s20, []byte("there and comes"))
			exchange(t, client, server)
		})
	})
}

// TestHeldBack fills a queue, and then makes room in every way that there is.
func TestHeldBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		readAll := func(t *testing.T, r messenger, sent []byte) { wantBytes(t, r, sent) }
		for _, tt := range []struct {
			name    string
			claimed bool // the stream, when it fills
			free    func(t *testing.T, server *sctpnet.Conn, full *sctpnet.Stream, sent []byte)
		}{
			{"Read", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, sent []byte) {
				readAll(t, full, sent)
			}},
			{"Close", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, _ []byte) {
				full.Close()
			}},
			{"CloseRead", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, _ []byte) {
				full.CloseRead()
			}},
			{"unclaimed, Read", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, server, sent)
			}},
			{"unclaimed, AcceptStream", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, acceptStream(t, server), sent)
			}},
			{"unclaimed, AcceptStream and Close", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				acceptStream(t, server).Close()
			}},
			{"unclaimed, Stream", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, claim(t, server, 40), sent)
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					c, s := streamPair(t, client, server)
					exchange(t, c, s)
					var full *sctpnet.Stream
					if tt.claimed {
						full = claim(t, server, 40)
					}
					sent := ballast()[:fill(t, unclaimed{client, 40})]
					if len(sent) < 256<<10 {
						t.Errorf("only %d bytes were taken", len(sent))
					}
					// The peer is held back, on all its streams.
					waiting := conformance.Start(t, func() (int, error) { return c.Write([]byte("goes on")) })
					waiting.Waits()

					tt.free(t, server, full, sent)
					wantBytes(t, s, []byte("goes on"))
					if n, err := waiting.Result(); n != 7 || err != nil {
						t.Errorf("Write returned %d, %v; want 7, nil", n, err)
					}
					exchange(t, s, c)
				})
			})
		}
	})
}
