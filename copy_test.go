package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sctpnet/sctpnet"
)

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
