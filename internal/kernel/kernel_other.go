//go:build !linux

package kernel

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

func init() { engine.Register("", kernelEngine{}) }

// kernelEngine is the kernel's SCTP.
type kernelEngine struct{}

var (
	_ engine.Filer    = kernelEngine{}
	_ engine.Packeter = kernelEngine{}
)

var errNoSCTP = fmt.Errorf("kernel SCTP is %w on %s: it needs Linux with `modprobe sctp`; elsewhere use the network sctp+udp",
	errors.ErrUnsupported, runtime.GOOS)

// Available returns an error that wraps errors.ErrUnsupported.
func (kernelEngine) Available() error { return errNoSCTP }

// Dial returns the same.
func (kernelEngine) Dial(context.Context, *engine.Socket, *engine.Addr) (engine.Conn, error) {
	return nil, errNoSCTP
}

// Listen returns the same.
func (kernelEngine) Listen(context.Context, *engine.Socket) (engine.Listener, error) {
	return nil, errNoSCTP
}

// ListenPacket returns the same.
func (kernelEngine) ListenPacket(context.Context, *engine.Socket, time.Duration) (engine.PacketConn, error) {
	return nil, errNoSCTP
}
