package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// byteOf is what stands at a place of stream 0.
func byteOf(pos int) byte { return byte(pos*7 + pos>>8 + pos>>16) }

// TestMixedReads reads stream 0 in all ways in turn, with streams coming
// into use at either end at any time.
func TestMixedReads(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for seed := range uint64(max(3, 6/conformance.Slowness)) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				buffer := []int{0, 60_000, 100_000}[seed%3]
				ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: buffer}}).Listen(context.Background(), network, "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				c := dial(t, nil, network, ln.Addr().String())
				s := accept(t, ln)
				const total = 6 << 20 / conformance.Slowness
				var ends sync.Map // position -> true
				watchdog(t, func() {
					go func() {
						r := rand.New(rand.NewPCG(seed, 1))
						next := func(pos, n int) []byte {
							b := make([]byte, n)
							for i := range b {
								b[i] = byteOf(pos + i)
							}
							return b
						}
						claimAt := r.IntN(2 * total)
						for pos := 0; pos < total; {
							if pos > claimAt {
								c.Stream(7)
								claimAt = math.MaxInt
							}
							switch r.IntN(3) {
							case 0:
								n := 1 + r.IntN(1<<r.IntN(18))
								ends.Store(pos+n, true)
								if _, err := c.WriteMsg(next(pos, n), sctpnet.MsgInfo{PPID: 9}); err != nil {
									t.Error(err)
									return
								}
								pos += n
							default:
								var msgs []sctpnet.Message
								for range 1 + r.IntN(100) {
									n := 1 + r.IntN(1<<r.IntN(14))
									msgs = append(msgs, sctpnet.Message{Data: next(pos, n), Info: sctpnet.MsgInfo{PPID: 9}})
									pos += n
									ends.Store(pos, true)
								}
								if r.IntN(2) == 0 {
									c.SetWriteDeadline(time.Now().Add(time.Duration(r.IntN(3000)) * time.Microsecond))
								}
								for len(msgs) > 0 {
									n, err := c.WriteMsgs(msgs)
									if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
										t.Error(err)
										return
									}
									msgs = msgs[n:]
									c.SetWriteDeadline(time.Time{})
								}
							}
						}
						c.Shutdown()
					}()
					r := rand.New(rand.NewPCG(seed, 2))
					claimAt := r.IntN(2 * total)
					pos := 0
					check := func(p []byte, one bool, info sctpnet.MsgInfo, hasInfo bool) {
						for i, b := range p {
							if b != byteOf(pos+i) {
								t.Fatalf("at %d: wrong byte", pos+i)
							}
							if one && i > 0 {
								if _, end := ends.Load(pos + i); end {
									t.Fatalf("at %d: message goes on past its end", pos+i)
								}
							}
						}
						pos += len(p)
						if hasInfo {
							_, end := ends.Load(pos)
							if end == info.More {
								t.Fatalf("at %d: end %v, More %v", pos, end, info.More)
							}
							if info.PPID != 9 || info.Stream != 0 {
								t.Fatalf("at %d: %+v", pos, info)
							}
						}
					}
					big := make([]byte, 1<<19)
					for {
						if pos > claimAt {
							s.Stream(9)
							claimAt = math.MaxInt
						}
						size := 1 + r.IntN(1<<r.IntN(19))
						if r.IntN(3) == 0 {
							size = 1
						}
						if r.IntN(20) == 0 {
							time.Sleep(time.Millisecond)
						}
						if r.IntN(10) == 0 {
							s.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(1000)) * time.Microsecond))
						} else {
							s.SetReadDeadline(time.Time{})
						}
						p := big[:size]
						var err error
						var n int
						switch r.IntN(4) {
						case 0:
							n, err = s.Read(p)
							check(p[:n], false, sctpnet.MsgInfo{}, false)
						case 1:
							var info sctpnet.MsgInfo
							n, info, err = s.ReadMsg(p)
							if n > 0 {
								check(p[:n], true, info, true)
							}
						case 2:
							n, _, err = s.ReadStream(p)
							check(p[:n], true, sctpnet.MsgInfo{}, false)
						case 3:
							var msgs []sctpnet.Message
							for range 1 + r.IntN(80) {
								msgs = append(msgs, sctpnet.Message{Data: make([]byte, 1+r.IntN(1<<r.IntN(16)))})
							}
							n, err = s.ReadMsgs(msgs)
							for _, m := range msgs[:n] {
								check(m.Data[:m.N], true, m.Info, true)
							}
						}
						if err == io.EOF {
							break
						}
						if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Fatal(err)
						}
					}
					if pos < total {
						t.Errorf("read %d", pos)
					}
				})
			})
		}
	})
}
