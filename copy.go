package sctpnet

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// A buffer is memory to copy through, or to receive into. It holds the largest message
// that Write makes.
type buffer [messageSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// ReadFrom writes what it reads from r until that returns [io.EOF], for
// [io.Copy]. It writes whatever a Read returns at once, in messages of up to
// 64 KiB.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	return copyFrom(c, r)
}

// WriteTo writes what it reads to w until [io.EOF], for [io.Copy], with up to
// 64 KiB at a time.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	return copyTo(w, c)
}

// WriteBuffers writes the contents of v, as v.WriteTo does for any writer with a
// Write for each of the buffers, but small ones together: up to 64 KiB in one
// message, by one system call. It removes from v what it has written.
func (c *Conn) WriteBuffers(v *net.Buffers) (n int64, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	return writeBuffers(c, v)
}

// ReadFrom is [Conn.ReadFrom] for the stream.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	return copyFrom(s, r)
}

// WriteTo is [Conn.WriteTo] for the stream.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	return copyTo(w, s)
}

// WriteBuffers is [Conn.WriteBuffers] for the stream.
func (s *Stream) WriteBuffers(v *net.Buffers) (n int64, err error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	return writeBuffers(s, v)
}

// copyFrom hides w's ReadFrom from io.CopyBuffer, which would call it.
func copyFrom(w io.Writer, r io.Reader) (int64, error) {
	p := buffers.Get().(*buffer)
	defer buffers.Put(p)
	return io.CopyBuffer(struct{ io.Writer }{w}, r, p[:])
}

// copyTo hides r's WriteTo, and also w's ReadFrom, whose memory would be smaller.
func copyTo(w io.Writer, r io.Reader) (int64, error) {
	p := buffers.Get().(*buffer)
	defer buffers.Put(p)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, p[:])
}

func writeBuffers(w io.Writer, v *net.Buffers) (n int64, err error) {
	p := buffers.Get().(*buffer)
	defer buffers.Put(p)
	for len(*v) > 0 && err == nil {
		// What does not fit, or stands alone, is written from where it is.
		b := (*v)[0]
		if len(*v) > 1 && len(b)+len((*v)[1]) <= len(p) {
			b = p[:0]
			for _, next := range *v {
				if len(b)+len(next) > len(p) {
					break
				}
				b = append(b, next...)
			}
		}
		var k int
		k, err = w.Write(b)
		n += int64(k)
		consume(v, k)
	}
	return n, err
}

// consume removes n bytes, and buffers that are empty, from the front of v.
func consume(v *net.Buffers, n int) {
	for len(*v) > 0 {
		if len((*v)[0]) > n {
			(*v)[0] = (*v)[0][n:]
			return
		}
		n -= len((*v)[0])
		(*v)[0] = nil
		*v = (*v)[1:]
	}
}
