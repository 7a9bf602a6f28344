package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

// pipeBy dials, and has the other end be accepted, which is told the address of the first.
func pipeBy(d sctpnet.Dialer, network string, to net.Addr, accept func(net.Addr) (net.Conn, error)) (c1, c2 net.Conn, stop func(), err error) {
	if c1, err = d.Dial(network, to.String()); err != nil {
		return nil, nil, nil, err
	}
	if c2, err = accept(c1.LocalAddr()); err != nil {
		c1.Close()
		return nil, nil, nil, err
	}
	stop = func() {
		c1.Close()
		c2.Close()
	}
	return c1, c2, stop, nil
}

// TestSmallWriteBuffer has a Write meet a send buffer that holds no message of
// the usual size.
func TestSmallWriteBuffer(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		if err := c.SetWriteBuffer(1); err != nil {
			t.Fatal(err)
		}
		if n := c.MaxMessageSize(); n > 64<<10 {
			t.Fatalf("the send buffer holds a message of %d bytes, want few", n)
		}
		want := bytes.Repeat([]byte("0123456789"), 20_000)
		watchdog(t, func() {
			written := make(chan error, 1)
			go func() {
				n, err := c.Write(want)
				if err == nil && n != len(want) {
					err = io.ErrShortWrite
				}
				written <- errors.Join(err, c.Close())
			}()
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestSetLinger(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		t.Run("0", func(t *testing.T) {
			c, s := pipe(t, network, "127.0.0.1:0")
			if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
				t.Fatal(err)
			}
			watchdog(t, func() {
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the peer's Read: %v, want ECONNRESET", err)
				}
			})
		})
		t.Run("1", func(t *testing.T) {
			watchdog(t, func() {
				// A signal of the runtime's ends the wait, but not every time.
				for range 10 {
					c, _ := smallPipe(t, network)
					c.SetLinger(1)
					fillWindow(t, c) // and more than the peer takes unread
					start := time.Now()
					c.Close()
					took := time.Since(start)
					if took > time.Second+atOnce {
						t.Errorf("Close took %v, want 1 s", took)
					}
					if took > 900*time.Millisecond {
						return
					}
				}
				t.Error("Close never took 1 s")
			})
		})
	})
}

// withAndWithoutStreams runs a test on both engines, with streams in use and with
// none.
func withAndWithoutStreams(t *testing.T, test func(t *testing.T, client, server *sctpnet.Conn)) {
	for _, name := range []string{"without streams", "with streams"} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, network string) {
				client, server := pipe(t, network, "127.0.0.1:0")
				if name == "with streams" {
					for _, c := range []*sctpnet.Conn{client, server} {
						if _, err := c.Stream(5); err != nil {
							t.Fatal(err)
						}
					}
				}
				test(t, client, server)
			})
		})
	}
}

// TestClosedIsNoTimeout closes a Conn whose deadlines have passed. Its calls then fail
// with net.ErrClosed: a caller that tries again after a timeout would never end.
func TestClosedIsNoTimeout(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, c, _ *sctpnet.Conn) {
		c.SetDeadline(time.Now().Add(-time.Second))
		p := make([]byte, 10)
		calls := map[string]func() error{
			"Read":    func() error { _, err := c.Read(p); return err },
			"ReadMsg": func() error { _, _, err := c.ReadMsg(p); return err },
			"Write":   func() error { _, err := c.Write(p); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v, want the deadline's error", name, err)
			}
		}
		c.Close()
		for name, call := range calls {
			if err := call(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
			}
		}
	})
}

// TestReadOfNothing reads into an empty slice. As in package net that does nothing,
// also after the deadline.
func TestReadOfNothing(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, c, _ *sctpnet.Conn) {
		for _, at := range []time.Time{{}, time.Now().Add(-time.Second)} {
			c.SetReadDeadline(at)
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Errorf("Read with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
			if n, _, err := c.ReadMsg([]byte{}); n != 0 || err != nil {
				t.Errorf("ReadMsg with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
		}
		c.Close()
		if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v, want net.ErrClosed", err)
		}
	})
}

// TestCloseAfterPartialRead closes a Conn when a part of a message has been read. The
// rest is unread, so the association is aborted.
func TestCloseAfterPartialRead(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, client, server *sctpnet.Conn) {
		if _, err := client.Write([]byte("not all of this is read")); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(make([]byte, 3)); n != 3 || err != nil {
			t.Fatalf("read %d bytes, %v; want 3", n, err)
		}
		server.Close()
		watchdog(t, func() { // where the ABORT is lost, a HEARTBEAT has another one sent
			if _, err := client.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer reads %v, want ECONNRESET", err)
			}
		})
	})
}

// TestCloseBesideAStuckHandler closes a Conn while OnEvent does not return. All calls
// that wait return.
func TestCloseBesideAStuckHandler(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		handling, handled := make(chan struct{}, 1), make(chan struct{})
		defer close(handled)
		c, _ := configured(t, network, "127.0.0.1:0", sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {
			select {
			case handling <- struct{}{}:
			default:
			}
			<-handled
		}}, sctpnet.Config{})
		s, err := c.Stream(5)
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 3)
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := s.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := c.AcceptStream(context.Background()); errs <- err }()
		watchdog(t, func() {
			<-handling // of the event that the association is up
			c.Close()
			for range cap(errs) {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("a waiting call returned %v, want net.ErrClosed", err)
				}
			}
		})
	})
}

// TestClosedConnIsCollected closes a Stream, its Conn and the Listener, all with deadlines
// far away. Their timers must not keep them in memory.
func TestClosedConnIsCollected(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []bool{false, true} {
			isInMemory := closed(t, network, streams)
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				runtime.GC()
				left := isInMemory()
				if left == "" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("with streams %v: what is closed stays in memory:%s", streams, left)
				}
			}
		}
	})
}

// closed makes a Listener, a Conn and, if asked to, a Stream, and closes them. It
// returns a function that tells which of them are in memory.
func closed(t *testing.T, network string, streams bool) (isInMemory func() string) {
	l, err := sctpnet.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := sctpnet.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	far := time.Now().Add(time.Hour)
	ln, c := l.(*sctpnet.Listener), d.(*sctpnet.Conn)
	ln.SetDeadline(far)
	c.SetDeadline(far)
	var s *sctpnet.Stream
	if streams {
		if s, err = c.Stream(5); err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(far)
		s.Close()
	}
	listener, conn, stream := weak.Make(ln), weak.Make(c), weak.Make(s)
	return func() (left string) {
		if listener.Value() != nil {
			left += " Listener"
		}
		if conn.Value() != nil {
			left += " Conn"
		}
		if stream.Value() != nil {
			left += " Stream"
		}
		return left
	}
}

// byteOf is what stands at a place of stream 0.
func byteOf(pos int) byte { return byte(pos*7 + pos>>8 + pos>>16) }

// TestMixedReads reads stream 0 in all ways in turn, with streams coming
// into use at either end at any time.
func TestMixedReads(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for seed := range uint64(max(3, 6/conformance.Slowness)) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				buffer := []int{0, 60_000, 100_000}[seed%3]
				ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: buffer}})
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

// TestConnHasNoCloseWrite: proxies look for the method, and expect of it what
// SCTP's SHUTDOWN does not do.
func TestConnHasNoCloseWrite(t *testing.T) {
	for _, name := range []string{"CloseWrite", "CloseRead"} {
		if _, ok := reflect.TypeFor[*sctpnet.Conn]().MethodByName(name); ok {
			t.Errorf("*Conn has %s", name)
		}
	}
}

// A copier is a Conn or a Stream.
type copier interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	WriteBuffers(*net.Buffers) (int64, error)
	ReadMsg([]byte) (int, sctpnet.MsgInfo, error)
}

// copiers runs a test with an association and with a stream of one, of each
// engine.
func copiers(t *testing.T, f func(t *testing.T, network string, c, s copier)) {
	eachEngine(t, func(t *testing.T, network string) {
		t.Run("Conn", func(t *testing.T) {
			watchdog(t, func() {
				c, s := pipe(t, network, "127.0.0.1:0")
				f(t, network, c, s)
			})
		})
		t.Run("Stream", func(t *testing.T) {
			watchdog(t, func() {
				c, s := pipe(t, network, "127.0.0.1:0")
				c1, s1 := streamPair(t, c, s)
				f(t, network, c1, s1)
			})
		})
	})
}

// TestCopy copies from a reader to a Conn, on from that to another one, and from
// there to a writer.
func TestCopy(t *testing.T) {
	copiers(t, func(t *testing.T, network string, c1, s1 copier) {
		c2, s2 := pipe(t, network, "127.0.0.1:0")
		want := ballast()[:3_000_000]
		together(t, nil,
			func() error {
				// A reader that cannot do more than read, and little at once.
				n, err := io.Copy(c1, iotest.HalfReader(bytes.NewReader(want)))
				if int(n) != len(want) {
					t.Errorf("Copy to a Conn: %d of %d, %v", n, len(want), err)
				}
				return errors.Join(err, c1.Close())
			},
			func() error {
				n, err := io.Copy(c2, s1)
				if int(n) != len(want) {
					t.Errorf("Copy between Conns: %d of %d, %v", n, len(want), err)
				}
				return errors.Join(err, c2.Close())
			},
			func() error {
				var got bytes.Buffer
				n, err := io.Copy(&got, s2)
				if int(n) != len(want) || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("Copy from a Conn: %d of %d, equal %t, %v", n, len(want), bytes.Equal(got.Bytes(), want), err)
				}
				return err
			})
	})
}

// TestReadFrom checks that what is read is written at once, a message each.
func TestReadFrom(t *testing.T) {
	copiers(t, func(t *testing.T, _ string, c, s copier) {
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := c.ReadFrom(r)
			done <- err
		}()
		p := make([]byte, 64<<10)
		for _, size := range []int{1, 1000, 16 << 10} {
			w.Write(ballast()[:size])
			if n, info, err := s.ReadMsg(p); n != size || info.More || err != nil {
				t.Errorf("a message of %d bytes, more %t, %v; want %d", n, info.More, err, size)
			}
		}
		why := errors.New("no more")
		w.CloseWithError(why)
		if err := <-done; err != why {
			t.Errorf("ReadFrom returned %v, want the reader's error", err)
		}
	})
}

// A writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriteTo(t *testing.T) {
	copiers(t, func(t *testing.T, _ string, c, s copier) {
		write(t, c, "hello")
		var got bytes.Buffer
		n, err := s.WriteTo(writerFunc(func(p []byte) (int, error) {
			if got.Write(p); got.Len() >= 5 {
				s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			}
			return len(p), nil
		}))
		if n != 5 || got.String() != "hello" {
			t.Errorf("WriteTo: %d, %q", n, got.String())
		}
		wantError(t, "WriteTo", err, os.ErrDeadlineExceeded)
	})
}

func TestWriteBuffers(t *testing.T) {
	data := ballast()
	for _, tt := range []struct {
		name  string
		sizes []int
		want  []int // messages
	}{
		{"none", nil, nil},
		{"empty ones", []int{0, 0}, nil},
		{"one", []int{10}, []int{10}},
		{"small ones", []int{10, 0, 1000, 0, 5000}, []int{6010}},
		{"as much as fits", []int{10, 16 << 10, 60 << 10, 5 << 10, 1}, []int{10 + 16<<10, 60 << 10, 5<<10 + 1}},
		{"header and body", []int{20, 64 << 10}, []int{20, 64 << 10}},
		{"large ones", []int{150_000, 7}, []int{64 << 10, 64 << 10, 150_000 - 128<<10, 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			copiers(t, func(t *testing.T, _ string, c, s copier) {
				var v net.Buffers
				var want []byte
				for i, size := range tt.sizes {
					b := data[i*1000:][:size]
					v, want = append(v, b), append(want, b...)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					if n, err := c.WriteBuffers(&v); int(n) != len(want) || err != nil || len(v) > 0 {
						t.Errorf("WriteBuffers: %d, %v, with %d buffers left; want %d", n, err, len(v), len(want))
					}
					write(t, c, "end")
				}()
				var got []byte
				p := make([]byte, 64<<10)
				for _, size := range append(tt.want, 3) {
					n, info, err := s.ReadMsg(p)
					if n != size || info.More || err != nil {
						t.Errorf("a message of %d bytes, more %t, %v; want %d", n, info.More, err, size)
					}
					got = append(got, p[:n]...)
				}
				if !bytes.Equal(got, append(want, "end"...)) {
					t.Error("the bytes differ")
				}
				<-done
			})
		})
	}
}

// TestWriteBuffersError checks what is left after a Write that was cut short.
func TestWriteBuffersError(t *testing.T) {
	t.Parallel() // it waits, most of the time
	copiers(t, func(t *testing.T, _ string, c, s copier) {
		v := net.Buffers{ballast()[:10], ballast()[10:20], ballast()[20:]}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.WriteBuffers(&v)
		wantError(t, "WriteBuffers", err, os.ErrDeadlineExceeded)
		if n <= 20 || len(v) != 1 || len(v[0]) != len(ballast())-int(n) {
			t.Fatalf("WriteBuffers: %d, with %d buffers left", n, len(v))
		}
		c.SetWriteDeadline(time.Time{})
		together(t, nil,
			func() error { _, err := c.WriteBuffers(&v); return err },
			func() error { wantBytes(t, s, ballast()); return nil })
	})
}

// TestBulkCosts writes and reads without a pause, where writers and readers wait for each
// other. Most writes of 64 KiB cost no allocation, with their reads.
func TestBulkCosts(t *testing.T) {
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	const size, count = 64 << 10, 1000
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		s1, s2 := streamPair(t, c, s)
		plain1, plain2 := pipe(t, network, "127.0.0.1:0")
		for _, pair := range []struct {
			name string
			w    io.Writer
			r    io.Reader
		}{{"Conn", plain1, plain2}, {"Stream", s1, s2}} {
			transfer := func() {
				sent := make(chan error, 1)
				go func() {
					var err error
					for i := 0; i < count && err == nil; i++ {
						_, err = pair.w.Write(ballast()[:size])
					}
					sent <- err
				}()
				if _, err := io.CopyN(io.Discard, pair.r, size*count); err != nil {
					t.Error(err)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
			}
			watchdog(t, func() {
				transfer() // fills what is kept for use again
				if n := testing.AllocsPerRun(1, transfer); n > count/2 {
					t.Errorf("%s: %d writes and their reads allocate %v times", pair.name, count, n)
				}
			})
		}
	})
}

// TestPlainConnCosts checks that reading and writing take no allocation, and
// that an association has no goroutine.
func TestPlainConnCosts(t *testing.T) {
	before := runtime.NumGoroutine()
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	b := make([]byte, 1024)
	transfer := func() {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, b); err != nil {
			t.Fatal(err)
		}
	}
	transfer()
	eventually(t, "the goroutines of earlier tests", func() bool { return runtime.NumGoroutine() <= before })
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, transfer); n != 0 {
		t.Errorf("a Write and a Read allocate %v times", n)
	}
	if err := c.Set(sctpnet.Config{PPID: 46}); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, transfer); n != 0 {
		t.Errorf("a Write with Config.PPID and a Read allocate %v times", n)
	}
}

// TestStreamCosts checks that neither messages nor a stream's bytes cost an
// allocation.
func TestStreamCosts(t *testing.T) {
	needSCTP(t)
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	for _, m := range messengers {
		t.Run(m.name, func(t *testing.T) {
			c1, c2 := pipe(t, "sctp4", "127.0.0.1:0")
			m1, m2 := m.make(t, c1, c2)
			for name, send := range map[string]func(){
				"WriteMsg and ReadMsg": sendMsg(t, m1, m2),
				"Write and Read":       sendBytes(t, m1, m2),
			} {
				if n := testing.AllocsPerRun(1000, send); n != 0 {
					t.Errorf("%s allocate %v times", name, n)
				}
			}
		})
	}
}

// TestWriteWithoutMemory writes while all SCTP sockets together have no memory left.
// The Write waits, has its deadline, and goes on when there is memory, although
// nothing that the socket has sent is acknowledged then.
func TestWriteWithoutMemory(t *testing.T) {
	needSCTP(t)
	const file = "/proc/sys/net/sctp/sctp_mem"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can set net.sctp.sctp_mem")
	}
	restore := func() {
		if err := os.WriteFile(file, old, 0); err != nil {
			t.Error(err)
		}
	}
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	defer restore()
	if err := os.WriteFile(file, []byte("0 0 0"), 0); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16<<10)
	sent := 0
	for err == nil {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		var n int
		n, err = c.Write(b)
		if sent += n; sent > 64<<20 {
			t.Fatal("no Write waits")
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write without memory: %v; want that it waits until its deadline", err)
	}
	c.SetWriteDeadline(time.Time{})
	writing := conformance.Start(t, func() (int, error) { return c.Write(b) })
	writing.Waits()
	restore()
	watchdog(t, func() {
		if _, err := io.ReadFull(s, make([]byte, sent+len(b))); err != nil {
			t.Errorf("Read with memory again: %v", err)
		}
		if _, err := writing.Result(); err != nil {
			t.Errorf("Write with memory again: %v", err)
		}
	})
}

// TestReadAfterCopyShutdown shuts an association down by a copy of its Conn.
func TestReadAfterCopyShutdown(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	copied := copyOf(t, c)
	if err := copied.Shutdown(); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		if _, err := s.Read(make([]byte, 10)); err != io.EOF {
			t.Fatalf("the peer's Read: %v, want EOF", err)
		}
		eventually(t, "the association to end", func() bool { return !alive(t, port(c.LocalAddr())) })
		for what, c := range map[string]*sctpnet.Conn{"original": c, "copy": copied} {
			if _, err := c.Read(make([]byte, 10)); err != io.EOF {
				t.Errorf("%s: %v, want EOF", what, err)
			}
		}
	})
}

// TestCloseBehindUnordered closes a Conn that has read an unordered message in pieces,
// and nothing else: what was written arrives, and then the end.
func TestCloseBehindUnordered(t *testing.T) {
	needSCTP(t)
	ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000}})
	watchdog(t, func() {
		for _, linger := range []int{-1, 5} {
			client := dial(t, nil, "sctp4", ln.Addr().String())
			s := accept(t, ln)
			s.SetLinger(linger)
			message := ballast()[:100<<10]
			if _, err := client.WriteMsg(message, sctpnet.MsgInfo{Unordered: true}); err != nil {
				t.Fatal(err)
			}
			if b, _, err := s.ReadMessage(len(message)); !bytes.Equal(b, message) || err != nil {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
			answer := ballast()[:50<<10]
			write(t, s, string(answer))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(client); !bytes.Equal(b, answer) || err != nil {
				t.Errorf("the answer: %d bytes, %v", len(b), err)
			}
		}
	})
}

// TestReadNothingAfterDeadline reads into an empty slice after the deadline, on
// TCP and SCTP.
func TestReadNothingAfterDeadline(t *testing.T) {
	ends := connPairs(t)
	for network, c := range ends {
		c.SetDeadline(time.Now().Add(-time.Second))
		for _, p := range [][]byte{nil, {}, make([]byte, 0, 10)} {
			if n, err := c.Read(p); n != 0 || err != nil {
				t.Errorf("%s: Read gives %d, %v", network, n, err)
			}
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Read of a byte gives %v", network, err)
		}
		c.Close()
		if n, err := c.Read(nil); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: after Close, Read gives %d, %v", network, n, err)
		}
	}
}

// connPairs returns the dialed end of a connection of TCP and one of SCTP.
func connPairs(t *testing.T) map[string]net.Conn {
	t.Helper()
	sc, _ := pipe(t, "sctp", "127.0.0.1:0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tc.Close() })
	return map[string]net.Conn{"tcp": tc, "sctp": sc}
}

// A shape is what can be seen of an error without its addresses.
type shape struct {
	op             string // of a net.OpError, "" if the error is none
	source, addr   bool   // that are set
	closed, passed bool   // net.ErrClosed, os.ErrDeadlineExceeded
	errno          syscall.Errno
}

func shapeOf(err error) (s shape) {
	if e, ok := err.(*net.OpError); ok {
		s.op, s.source, s.addr = e.Op, e.Source != nil, e.Addr != nil
	}
	s.closed = errors.Is(err, net.ErrClosed)
	s.passed = errors.Is(err, os.ErrDeadlineExceeded)
	errors.As(err, &s.errno)
	return s
}

// TestSyscallConnAsNet looks at the errors of what SyscallConn returns.
func TestSyscallConnAsNet(t *testing.T) {
	needSCTP(t)
	type sysconn interface {
		syscall.Conn
		SetDeadline(time.Time) error
		Close() error
	}
	tln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pairs := connPairs(t)
	for what, pair := range map[string][2]sysconn{
		"Conn":     {pairs["tcp"].(sysconn), pairs["sctp"].(sysconn)},
		"Listener": {tln.(sysconn), listen(t, "sctp", "127.0.0.1:0")},
	} {
		var shapes [2]map[string]shape
		for i, c := range pair {
			shapes[i] = make(map[string]shape)
			raw, err := c.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			try := func(when string) {
				called := 0
				f := func(uintptr) bool { called++; return true }
				shapes[i][when+" Control"] = shapeOf(raw.Control(func(fd uintptr) { f(fd) }))
				before := called
				shapes[i][when+" Read"] = shapeOf(raw.Read(f))
				shapes[i][when+" Write"] = shapeOf(raw.Write(f))
				if what == "Listener" && called != before {
					t.Errorf("%s, %s: Read or Write of %T calls the function", what, when, c)
				}
			}
			try("at first")
			c.SetDeadline(time.Now().Add(-time.Second))
			try("after the deadline")
			c.Close()
			try("after Close")
		}
		for when, want := range shapes[0] {
			if got := shapes[1][when]; got != want {
				t.Errorf("%s, %s: SCTP gives %+v, TCP %+v", what, when, got, want)
			}
		}
	}
}

// TestFileErrorsAsNet makes Conns and Listeners of files that have none.
func TestFileErrorsAsNet(t *testing.T) {
	needSCTP(t)
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name string
		file *os.File
	}{{"closed", closed}, {"no socket", null}} {
		_, cerr := sctpnet.FileConn(tt.file)
		_, lerr := sctpnet.FileListener(tt.file)
		_, terr := net.FileConn(tt.file)
		for _, err := range []error{cerr, lerr} {
			if got, want := shapeOf(err), shapeOf(terr); got != want {
				t.Errorf("%s: SCTP gives %+v (%v), TCP %+v (%v)", tt.name, got, err, want, terr)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if _, ok := e.(interface{ Unwrap() []error }); ok {
					t.Errorf("%s: %v holds a %T", tt.name, err, e)
				}
			}
		}
	}
}

// copyOf returns another Conn of an association.
func copyOf(t testing.TB, c *sctpnet.Conn) *sctpnet.Conn {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	copied, err := sctpnet.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { copied.Close() })
	return copied.(*sctpnet.Conn)
}

// TestHTTP runs net/http over SCTP.
func TestHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := r.Context().Value(http.LocalAddrContextKey).(*sctpnet.Addr); !ok {
				t.Error("the request did not come over SCTP")
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Write(body)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(ln) }()

		transport := &http.Transport{DialContext: (&sctpnet.Dialer{Network: network}).DialContext}
		client := &http.Client{Transport: transport}
		watchdog(t, func() {
			for _, n := range []int{0, 1, 100_000, 4 << 20} {
				body := bytes.Repeat([]byte("body"), n/4+1)[:n]
				resp, err := client.Post("http://"+ln.Addr().(*sctpnet.Addr).URLHost()+"/", "text/plain", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, %v; want %d", len(got), err, n)
				}
			}
			transport.CloseIdleConnections()
			server.Shutdown(t.Context())
			if err := <-served; err != http.ErrServerClosed {
				t.Errorf("Serve: %v", err)
			}
		})
	})
}

// TestHTTPToList has a URL with several addresses of one server.
func TestHTTPToList(t *testing.T) {
	ln := listen(t, "sctp4", "127.0.0.1/127.0.0.2:0")
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(ln)
	defer server.Close()
	transport := &http.Transport{DialContext: new(sctpnet.Dialer).DialContext}
	defer transport.CloseIdleConnections()
	watchdog(t, func() {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().(*sctpnet.Addr).URLHost())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
	})
}
