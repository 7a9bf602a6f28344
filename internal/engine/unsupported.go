package engine

import (
	"errors"
	"os"
	"syscall"
)

// Unsupported has the methods of a Conn that an engine need not have. A Conn
// embeds it for those that its engine lacks. Package sctpnet calls none of them
// then, as it looks in the engine's Lacks first.
type Unsupported struct{}

func (Unsupported) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
func (Unsupported) File() (*os.File, error)               { return nil, errors.ErrUnsupported }

func (Unsupported) SetStreamValue(_, _ uint16) error   { return errors.ErrUnsupported }
func (Unsupported) StreamValue(uint16) (uint16, error) { return 0, errors.ErrUnsupported }
func (Unsupported) ResetAssoc() error                  { return errors.ErrUnsupported }

func (Unsupported) Key(KeyOp, AuthKey) error      { return errors.ErrUnsupported }
func (Unsupported) AuthState() (AuthState, error) { return AuthState{}, errors.ErrUnsupported }
