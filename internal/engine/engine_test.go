package engine_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestUDPNeedsImport is here because the tests of package sctpnet import
// udpencap.
func TestUDPNeedsImport(t *testing.T) {
	for _, network := range []string{"sctp+udp", "sctp4+udp", "sctp6+udp"} {
		_, derr := sctpnet.Dial(network, "127.0.0.1:9")
		_, lerr := sctpnet.Listen(network, "127.0.0.1:9")
		for _, err := range []error{derr, lerr, sctpnet.Available(network)} {
			if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "sctpnet/udpencap") {
				t.Errorf("%s: %v, want ErrUnsupported and what to import", network, err)
			}
		}
	}
}

// A thirdEngine is one that nothing in package sctpnet knows.
type thirdEngine struct{ engine.Engine }

var errThird = errors.New("the third engine's error")

func (thirdEngine) Available() error { return nil }

func (thirdEngine) Lacks() engine.Lacks {
	return engine.Lacks{{Kind: engine.LacksSetting, Name: "SACK.Delay", Why: "it is the third"}}
}

func (thirdEngine) Dial(context.Context, *engine.Socket, *engine.Addr) (engine.Conn, error) {
	return nil, errThird
}

func (thirdEngine) Listen(context.Context, *engine.Socket) (engine.Listener, error) {
	return nil, errThird
}

// TestThirdEngine registers an engine: its networks are there, and its table
// counts.
func TestThirdEngine(t *testing.T) {
	const suffix = "+third"
	var unknown net.UnknownNetworkError
	if _, err := sctpnet.Dial("sctp"+suffix, "127.0.0.1:9"); !errors.As(err, &unknown) {
		t.Errorf("before it is registered: %v", err)
	}
	engine.Register(suffix, thirdEngine{})
	for _, network := range []string{"sctp", "sctp4", "sctp6"} {
		network += suffix
		if err := sctpnet.Available(network); err != nil {
			t.Errorf("%s: %v", network, err)
		}
		_, derr := sctpnet.Dial(network, map[bool]string{true: "[::1]:9", false: "127.0.0.1:9"}[strings.HasPrefix(network, "sctp6")])
		_, lerr := sctpnet.Listen(network, ":9")
		for _, err := range []error{derr, lerr} {
			var op *net.OpError
			if !errors.As(err, &op) || op.Net != network || !errors.Is(err, errThird) {
				t.Errorf("%s: %v", network, err)
			}
		}
	}
	d := sctpnet.Dialer{Config: sctpnet.Config{SACK: sctpnet.SACK{Delay: time.Second / 4}}}
	if _, err := d.Dial("sctp"+suffix, "127.0.0.1:9"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "it is the third") {
		t.Errorf("a setting that it lacks: %v", err)
	}
	for _, network := range []string{"tcp" + suffix, "sctp5" + suffix, "sctp+", "sctp+fourth", suffix} {
		if err := sctpnet.Available(network); !errors.As(err, &unknown) {
			t.Errorf("%s: %v", network, err)
		}
	}
}
