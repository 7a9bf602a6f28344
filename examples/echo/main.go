// Echo sends a line over SCTP to a server that sends it back. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/echo
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/echo -network sctp+udp
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

const usage = `Echo sends a line over SCTP to a server of its own, which sends it back.

usage: echo [-network NETWORK]

`

func main() {
	network := "sctp"
	flag.Func("network", "the `network`: sctp, which is the default, or sctp+udp", func(s string) error {
		if s != "sctp" && s != "sctp+udp" {
			return errors.New("want sctp or sctp+udp")
		}
		network = s
		return nil
	})
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	log.SetFlags(0)
	log.SetPrefix("echo: ")
	ln, err := sctpnet.Listen(network, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go serve(ln)

	conn, err := sctpnet.Dial(network, ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello, SCTP")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(line)
}

func serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}
