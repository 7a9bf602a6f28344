package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/sctpnet/sctpnet"
)

// receive receives files into a folder, and tells of each, until the context
// ends.
func receive(ctx context.Context, ln net.Listener, dir string, tell io.Writer) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	defer ln.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	var associations sync.WaitGroup
	defer associations.Wait()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		associations.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			receiveAll(ctx, conn.(sctpnet.StreamConn), root, tell)
		})
	}
}

// receiveAll receives the files that come over one association.
func receiveAll(ctx context.Context, conn sctpnet.StreamConn, root *os.Root, tell io.Writer) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return // it has ended
		}
		streams.Go(func() {
			defer stream.Close()
			name, sum, err := receiveFile(stream, root)
			a := answer{SHA256: sum}
			if err != nil {
				a.Error = err.Error()
				fmt.Fprintf(tell, "from %s, stream %d: error: %v\n", conn.RemoteAddr(), stream.ID(), err)
			} else {
				fmt.Fprintf(tell, "from %s, stream %d: %q\n", conn.RemoteAddr(), stream.ID(), name)
			}
			if b, err := json.Marshal(a); err == nil {
				stream.WriteMsg(b, sctpnet.MsgInfo{})
			}
		})
	}
}

// receiveFile receives one file and returns its hash.
func receiveFile(stream *sctpnet.Stream, root *os.Root) (name string, sum []byte, err error) {
	buf := make([]byte, 4096)
	n, _, err := stream.ReadMsg(buf)
	if err != nil {
		return "", nil, fmt.Errorf("no header: %w", err)
	}
	var h header
	if err := json.Unmarshal(buf[:n], &h); err != nil {
		return "", nil, fmt.Errorf("no header, but %.40q", buf[:n])
	}

	// No file is overwritten, and none gets outside of the folder.
	f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", nil, err
	}
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), stream)
	if err == nil && size != h.Size {
		err = fmt.Errorf("%s: %d bytes of %d", h.Name, size, h.Size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		root.Remove(h.Name)
		return "", nil, err
	}
	return h.Name, hash.Sum(nil), nil
}
