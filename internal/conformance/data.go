package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
)

// random returns n bytes that do not repeat.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// testWrite writes once, of any length, and compares what arrives.
func testWrite(p *pair) {
	sizes := append([]int{
		1,
		32<<10 - 1, 32 << 10, 32<<10 + 1,
		64<<10 - 1, 64 << 10, 64<<10 + 1,
		212991, 212992, 212993, // Linux's default send buffer, the largest message
		8 << 20,
		64 << 20 / Slowness,
	}, p.sizes...)
	for _, n := range sizes {
		p.run(size(n), func(p *pair) {
			c1, c2, _ := p.pipe()
			b := random(n)
			want := sha256.Sum256(b)

			w := p.start(func(b []byte) (int, error) {
				n, err := c1.Write(b)
				p.close(c1)
				return n, err
			}, b)
			hash := sha256.New()
			got, err := io.Copy(hash, c2)
			if err != nil || got != int64(n) || [32]byte(hash.Sum(nil)) != want {
				p.Errorf("read %d bytes, %v, hash %x; want %d, nil, %x", got, err, hash.Sum(nil), n, want)
			}
			if sent, err := w.result(); sent != n || err != nil {
				p.Errorf("Write returned %d, %v; want %d, nil", sent, err, n)
			}
			if sha256.Sum256(b) != want {
				p.Error("Write changed its buffer")
			}
		})
	}
}

// testEmptyWrite checks that an empty Write sends nothing, and that an empty
// Read takes nothing.
func testEmptyWrite(p *pair) {
	c1, c2, _ := p.pipe()
	for _, b := range [][]byte{nil, {}} {
		if n, err := c1.Write(b); n != 0 || err != nil {
			p.Errorf("empty Write returned %d, %v; want 0, nil", n, err)
		}
	}
	p.write(c1, "x")
	if n, err := c2.Read(nil); n != 0 || err != nil {
		p.Errorf("empty Read returned %d, %v; want 0, nil", n, err)
	}
	p.read(c2, "x")
	p.close(c1)
	p.wantEOF(c2)
}

// testShortRead reads with buffers that hold less than what was written.
func testShortRead(p *pair) {
	for _, n := range []int{1, 7, 1021, 4099, 65537} {
		p.run(size(n), func(p *pair) {
			c1, c2, _ := p.pipe()
			b := random(min(400<<10, 8<<10*n))
			w := p.start(func([]byte) (int, error) {
				// Writes smaller and larger than the reads, and none of
				// their multiples.
				for rest, i := b, 1; len(rest) > 0; i++ {
					k := min(i*i*13, len(rest))
					if n, err := c1.Write(rest[:k]); err != nil {
						return n, err
					}
					rest = rest[k:]
				}
				p.close(c1)
				return len(b), nil
			}, nil)

			var got bytes.Buffer
			for buf := make([]byte, n); ; {
				n, err := c2.Read(buf)
				got.Write(buf[:n])
				if err == io.EOF {
					break
				}
				if err != nil {
					p.Fatal(err)
				}
			}
			if _, err := w.result(); err != nil {
				p.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), b) {
				p.Errorf("read %d bytes that differ from the %d written", got.Len(), len(b))
			}
		})
	}
}

// testConcurrentWriters has several goroutines write blocks of more than one
// message each: the bytes of a block must stay together.
func testConcurrentWriters(p *pair) {
	const (
		writers = 8
		header  = 5 // the writer, and the length of what follows
	)
	// With one processor writers would hardly ever meet but where they wait.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	blocks := 50 / Slowness
	c1, c2, _ := p.pipe()
	var wg sync.WaitGroup
	for id := range writers {
		wg.Go(func() {
			for i := range blocks {
				n := 70_000 + 90_000*(id+i)%500_000
				b := bytes.Repeat([]byte{byte(id)}, header+n)
				binary.BigEndian.PutUint32(b[1:], uint32(n))
				if n, err := c1.Write(b); n != len(b) || err != nil {
					p.Errorf("Write returned %d, %v; want %d, nil", n, err, len(b))
					return
				}
			}
		})
	}
	closed := make(chan struct{})
	go func() {
		wg.Wait()
		p.close(c1)
		close(closed)
	}()
	defer func() {
		c1.Close() // if a check has failed the writers still wait
		<-closed
	}()

	var got [writers]int
	for buf := make([]byte, 1<<20); ; {
		if _, err := io.ReadFull(c2, buf[:header]); err == io.EOF {
			break
		} else if err != nil {
			p.Fatal(err)
		}
		id, n := buf[0], binary.BigEndian.Uint32(buf[1:])
		if id >= writers || int(n) > len(buf) {
			p.Fatalf("read the header %x: blocks have mixed", buf[:header])
		}
		if _, err := io.ReadFull(c2, buf[:n]); err != nil {
			p.Fatal(err)
		}
		if i := bytes.IndexFunc(buf[:n], func(r rune) bool { return r != rune(id) }); i >= 0 {
			p.Fatalf("byte %d of a block of writer %d is %d's", i, id, buf[i])
		}
		got[id]++
	}
	<-closed
	for id, n := range got {
		if n != blocks {
			p.Errorf("read %d blocks of writer %d, want %d", n, id, blocks)
		}
	}
}
