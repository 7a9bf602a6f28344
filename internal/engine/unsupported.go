package engine

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
)

// Unsupported has the methods of a Conn that an engine need not have. A Conn
// embeds it for those that its engine lacks. Package sctpnet calls none of them
// then, as it looks in the engine's Lacks first.
type Unsupported struct{}

func (Unsupported) BindAdd(netip.Addr) error        { return errors.ErrUnsupported }
func (Unsupported) BindRemove(netip.Addr) error     { return errors.ErrUnsupported }
func (Unsupported) SetPrimary(netip.Addr) error     { return errors.ErrUnsupported }
func (Unsupported) SetPeerPrimary(netip.Addr) error { return errors.ErrUnsupported }

func (Unsupported) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
func (Unsupported) File() (*os.File, error)               { return nil, errors.ErrUnsupported }

func (Unsupported) SetStreamValue(_, _ uint16) error   { return errors.ErrUnsupported }
func (Unsupported) StreamValue(uint16) (uint16, error) { return 0, errors.ErrUnsupported }
func (Unsupported) ResetAssociation() error            { return errors.ErrUnsupported }

func (Unsupported) SetAuthKey(AuthKey) error       { return errors.ErrUnsupported }
func (Unsupported) ActivateAuthKey(uint16) error   { return errors.ErrUnsupported }
func (Unsupported) DeactivateAuthKey(uint16) error { return errors.ErrUnsupported }
func (Unsupported) DeleteAuthKey(uint16) error     { return errors.ErrUnsupported }
func (Unsupported) AuthState() (AuthState, error)  { return AuthState{}, errors.ErrUnsupported }

// The settings have their zero values for ever.

func (Unsupported) SetNoDelay(bool) error                               { return nil }
func (Unsupported) NoDelay() (bool, error)                              { return true, nil }
func (Unsupported) SetMaxSegment(int) error                             { return nil }
func (Unsupported) MaxSegment() (int, error)                            { return 0, nil }
func (Unsupported) SetMaxBurst(int) error                               { return nil }
func (Unsupported) MaxBurst() (int, error)                              { return 0, nil }
func (Unsupported) SetPartialReliability(PartialReliability) error      { return nil }
func (Unsupported) PartialReliability() (p PartialReliability, _ error) { return p, nil }
func (Unsupported) SetScheduler(uint32) error                           { return nil }
func (Unsupported) Scheduler() (uint32, error)                          { return 0, nil }
func (Unsupported) SetFragmentInterleave(int) error                     { return nil }
func (Unsupported) FragmentInterleave() (int, error)                    { return 0, nil }
func (Unsupported) SetPartialDeliveryPoint(int) error                   { return nil }
func (Unsupported) PartialDeliveryPoint() (int, error)                  { return 0, nil }
