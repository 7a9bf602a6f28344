// Article is the two programs of a well-known C tutorial on the streams of
// SCTP: for each association the server sends three messages, each on a stream
// of its own, and the client prints them. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/article
//
// Without flags it is both. With -listen :29008 it is only the server, with
// -dial 127.0.0.1:29008 only the client. Either also works with the C program
// for the other side.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/sctpnet/sctpnet"
)

// The C programs set this in a struct sctp_initmsg, at both ends.
var config = sctpnet.Config{OutStreams: 3, MaxInStreams: 3, InitAttempts: 2}

const usage = `Article serves three messages, each on a stream of its own, and prints what it
receives of itself. It has no -network: the C programs speak the kernel's SCTP alone.

usage: article [-listen ADDRESS | -dial ADDRESS]

`

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	listen := flag.String("listen", "", "only serve, on `address`, until interrupted")
	dial := flag.String("dial", "", "only print the messages of the server at `address`")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		refuse("unexpected argument %q", flag.Arg(0))
	case *listen != "" && *dial != "":
		refuse("-listen and -dial exclude each other")
	}
	checkAddress(*listen)
	checkAddress(*dial)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *listen, *dial)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "article: interrupted")
		os.Exit(interrupted)
	default:
		fmt.Fprintln(os.Stderr, "article:", err)
		os.Exit(1)
	}
}

// refuse says what is wrong with the arguments, and ends the program.
func refuse(format string, args ...any) {
	fmt.Fprintf(flag.CommandLine.Output(), format+"\n", args...)
	flag.Usage()
	os.Exit(2)
}

// checkAddress refuses an address that is none. A name that has none may have one later.
func checkAddress(address string) {
	_, err := sctpnet.ResolveAddr("sctp", address)
	if _, wrong := errors.AsType[*net.AddrError](err); wrong {
		refuse("%v", err)
	}
}

func run(ctx context.Context, listen, dial string) error {
	if dial != "" {
		return client(ctx, dial)
	}
	address := listen
	if address == "" {
		address = "127.0.0.1:29008"
	}
	lc := sctpnet.ListenConfig{Config: config}
	ln, err := lc.Listen(ctx, "sctp", address)
	if err != nil {
		return err
	}
	fmt.Println("server: listening on", ln.Addr())
	served := make(chan error, 1)
	go func() { served <- server(ln) }()

	if listen != "" {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
	} else {
		err = client(ctx, address)
	}
	ln.Close()
	return errors.Join(err, <-served)
}

// server serves until ln is closed.
func server(ln net.Listener) error {
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
			if err := send(conn.(sctpnet.StreamConn)); err != nil {
				fmt.Fprintln(os.Stderr, "server:", err)
			}
		})
	}
}

func send(conn sctpnet.StreamConn) error {
	for stream := range uint16(3) {
		msg := fmt.Sprintf("Message #%d\n", stream+1)
		if _, err := conn.WriteStream([]byte(msg), stream); err != nil {
			return err
		}
	}
	return nil
}

// client prints the three messages.
func client(ctx context.Context, address string) error {
	d := sctpnet.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "sctp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for range 3 {
		msg, stream, err := receive(conn.(sctpnet.StreamConn))
		if err != nil {
			return err
		}
		fmt.Printf("stream %d: %s\n", stream, msg)
	}
	return nil
}

// receive reads a message, of any length. C programs may send all of the buffer
// that their string is in, which ends at the first NUL.
func receive(conn sctpnet.StreamConn) (text []byte, stream uint16, err error) {
	buf := make([]byte, 1024)
	for {
		n, info, err := conn.ReadMsg(buf)
		if err != nil {
			return nil, 0, err
		}
		text = append(text, buf[:n]...)
		if !info.More {
			text, _, _ = bytes.Cut(text, []byte{0})
			return bytes.TrimSpace(text), info.Stream, nil
		}
	}
}
