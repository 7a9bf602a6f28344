package udpencap

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestLastWords ends an association right after a Write that has returned. What was written
// arrives before the end.
func TestLastWords(t *testing.T) {
	words := strings.Repeat("last words ", 300) // no more than cwnd allows
	for name, end := range map[string]func(t *testing.T, c, s *sctpnet.Conn){
		"Abort": func(t *testing.T, c, _ *sctpnet.Conn) { c.Abort() },
		"CloseUnread": func(t *testing.T, c, s *sctpnet.Conn) {
			c.Close()
		},
		"CloseLinger0": func(t *testing.T, c, _ *sctpnet.Conn) {
			c.SetLinger(0)
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				c, s := makeConns(t, sctpnet.Config{})
				watchdog(t, func() {
					if name == "CloseUnread" {
						if _, err := s.Write([]byte("unread, and some more")); err != nil {
							t.Fatal(err)
						}
						if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := c.Write([]byte(words)); err != nil {
						t.Fatal(err)
					}
					end(t, c, s)
					got, err := io.ReadAll(s)
					if string(got) != words || !errors.Is(err, syscall.ECONNRESET) {
						t.Fatalf("read %d bytes, %v; want %d and ECONNRESET", len(got), err, len(words))
					}
				})
			}
		})
	}
}
