//go:build !linux

// Package kernel is the engine over the Linux kernel's SCTP; on this system
// there is none.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Engine is the kernel's SCTP.
type Engine struct{}

var errNoSCTP = fmt.Errorf("kernel SCTP is %w on %s: it needs Linux with `modprobe sctp`; elsewhere use the network sctp+udp",
	errors.ErrUnsupported, runtime.GOOS)

// Available returns an error that wraps errors.ErrUnsupported.
func (Engine) Available() error { return errNoSCTP }

// Dial returns the same.
func (Engine) Dial(context.Context, *engine.Socket, *engine.Addr) (engine.Conn, error) {
	return nil, errNoSCTP
}

// Listen returns the same.
func (Engine) Listen(context.Context, *engine.Socket) (engine.Listener, error) {
	return nil, errNoSCTP
}
