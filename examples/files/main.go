// Files sends files over one SCTP association, all at the same time and each on
// a stream of its own. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/files
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/files -network sctp+udp
//
// Without arguments it makes three files and sends them to itself. With
// -listen ADDRESS it only receives, into the folder -dir; with -dial ADDRESS it
// sends the files that are named.
//
// On each stream a header goes first, as one message, and then the bytes. The
// end of writing ends the file. The answer, on the same stream, is the hash of
// what was received.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

// A header says what comes on a stream. It is sent as JSON.
type header struct {
	Name string
	Size int64
}

// An answer says what has come, or why it is not there. It is sent as JSON.
type answer struct {
	SHA256 []byte
	Error  string `json:",omitempty"`
}

var network = "sctp"

const usage = `Files sends files over one SCTP association, all at the same time and each on a
stream of its own. Without arguments it makes three files and sends them to itself.

usage: files [-network NETWORK]
       files [-network NETWORK] -listen ADDRESS [-dir FOLDER]
       files [-network NETWORK] -dial ADDRESS FILE...

`

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	flag.Func("network", "the `network`: sctp, which is the default, or sctp+udp", func(s string) error {
		if s != "sctp" && s != "sctp+udp" {
			return errors.New("want sctp or sctp+udp")
		}
		network = s
		return nil
	})
	listen := flag.String("listen", "", "receive on `address`, until interrupted")
	dir := flag.String("dir", ".", "the `folder` that received files go to")
	dial := flag.String("dial", "", "send files to the receiver at `address`")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	switch {
	case *listen != "" && *dial != "":
		refuse("-listen and -dial exclude each other")
	case *dial != "" && flag.NArg() == 0:
		refuse("-dial needs files to send")
	case *dial == "" && flag.NArg() > 0:
		refuse("unexpected argument %q", flag.Arg(0))
	}
	checkAddress(*listen)
	checkAddress(*dial)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *listen != "":
		err = receiveOn(ctx, *listen, *dir)
	case *dial != "":
		err = send(ctx, *dial, flag.Args())
	default:
		err = demo(ctx)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "files: interrupted")
		os.Exit(interrupted)
	default:
		fmt.Fprintln(os.Stderr, "files:", err)
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
	_, err := sctpnet.ResolveAddr(network, address)
	if _, wrong := errors.AsType[*net.AddrError](err); wrong {
		refuse("%v", err)
	}
}

func receiveOn(ctx context.Context, address, dir string) error {
	ln, err := sctpnet.Listen(network, address)
	if err != nil {
		return err
	}
	fmt.Println("listening on", ln.Addr())
	return receive(ctx, ln, dir, os.Stdout)
}

// demo sends three files to itself.
func demo(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	random := rand.NewChaCha8([32]byte{})
	var names []string
	for i, size := range []int{4 << 20, 8<<20 + 1, 12 << 20} {
		data := make([]byte, size)
		random.Read(data)
		name := filepath.Join(dir, fmt.Sprintf("%d.bin", i+1))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return err
		}
		names = append(names, name)
	}
	received := filepath.Join(dir, "received")
	if err := os.Mkdir(received, 0o700); err != nil {
		return err
	}

	ln, err := sctpnet.Listen(network, "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- receive(ctx, ln, received, io.Discard) }()
	err = send(ctx, ln.Addr().String(), names)
	cancel()
	return errors.Join(err, <-done)
}
