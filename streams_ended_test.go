package sctpnet_test

import (
	"io"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestCloseWriteAfterEndBeforeStreams has the peer write and close before this end asks
// for streams. That says nothing about what the peer could do.
func TestCloseWriteAfterEndBeforeStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		client := dial(t, nil, network, ln.Addr().String())
		watchdog(t, func() {
			if _, err := client.WriteMsg([]byte("hello"), sctpnet.MsgInfo{Stream: 2}); err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			server := accept(t, ln)
			for {
				if _, err := server.Status(); err != nil {
					break // the association has ended
				}
				time.Sleep(ms)
			}
			s, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
