//go:build !linux

package kernel

import (
	"os"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// FileConn returns the same error as Dial.
func (kernelEngine) FileConn(*os.File) (engine.Conn, error) { return nil, errNoSCTP }

// FileListener returns the same.
func (kernelEngine) FileListener(*os.File, engine.Options) (engine.Listener, error) {
	return nil, errNoSCTP
}
