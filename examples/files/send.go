package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A file is one to send.
type file struct {
	header
	data   *os.File
	hash   hash.Hash
	stream uint16 // once it has one
}

// send sends files over one association.
func send(ctx context.Context, address string, names []string) error {
	var files []*file
	var total int64
	for _, name := range names {
		data, err := os.Open(name)
		if err != nil {
			return err
		}
		defer data.Close()
		fi, err := data.Stat()
		if err != nil {
			return err
		}
		if !fi.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", name)
		}
		files = append(files, &file{header: header{fi.Name(), fi.Size()}, data: data, hash: sha256.New()})
		total += fi.Size()
	}

	// The numbers that this side opens are 2, 4 and so on.
	n := 2*len(files) + 1
	d := sctpnet.Dialer{Config: sctpnet.Config{OutStreams: n, MaxInStreams: n}}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	conn := c.(sctpnet.StreamConn)

	fmt.Printf("sending %d files, %d bytes, over one association\n", len(files), total)
	bar := newProgress(total)
	errs := make([]error, len(files))
	start := time.Now()
	var wg sync.WaitGroup
	for i, f := range files {
		wg.Go(func() {
			if err := f.send(conn, bar); err != nil {
				errs[i] = fmt.Errorf("%s: %w", f.Name, err)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	bar.end()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, f := range files {
		fmt.Printf("stream %d: %s, %d bytes, SHA-256 %x\n", f.stream, f.Name, f.Size, f.hash.Sum(nil))
	}
	fmt.Printf("%v, %.1f MB/s\n", elapsed.Round(time.Millisecond), float64(total)/1e6/elapsed.Seconds())
	fmt.Println("hashes match")
	return nil
}

// send sends one file and checks the answer.
func (f *file) send(conn sctpnet.StreamConn, progress io.Writer) error {
	stream, err := conn.OpenStream()
	if err != nil {
		return err
	}
	defer stream.Close()
	f.stream = stream.ID()

	err = f.sendData(stream, progress)
	// If the receiver does not want all of it, its answer says why.
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	buf := make([]byte, 4096)
	n, _, err := stream.ReadMsg(buf)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	var a answer
	if err := json.Unmarshal(buf[:n], &a); err != nil {
		return fmt.Errorf("no answer, but %.40q", buf[:n])
	}
	if a.Error != "" {
		return fmt.Errorf("the receiver: %s", a.Error)
	}
	if sum := f.hash.Sum(nil); !bytes.Equal(sum, a.SHA256) {
		return fmt.Errorf("hash is %x, but the receiver's %x", sum, a.SHA256)
	}
	return nil
}

func (f *file) sendData(stream *sctpnet.Stream, progress io.Writer) error {
	h, err := json.Marshal(f.header)
	if err != nil {
		return err
	}
	if _, err := stream.WriteMsg(h, sctpnet.MsgInfo{}); err != nil {
		return err
	}
	if _, err := io.Copy(io.MultiWriter(stream, f.hash, progress), f.data); err != nil {
		return err
	}
	return stream.CloseWrite()
}
