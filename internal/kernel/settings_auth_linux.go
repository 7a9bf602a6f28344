package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

func setAuth(fd int, a *engine.Auth) error {
	if err := optAuth.setValue(fd, 1); err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		// An older kernel has it by the sysctl, or says EACCES of the rest.
		if len(a.Chunks)+len(a.HMACs)+len(a.Keys) == 0 {
			return fmt.Errorf("%w; see sysctl net.sctp.auth_enable", err)
		}
	}
	for _, c := range a.Chunks {
		if err := optAuthChunk.setBytes(fd, []byte{c}); err != nil {
			return err
		}
	}
	if len(a.HMACs) > 0 {
		// struct sctp_hmacalgo
		b := binary.NativeEndian.AppendUint32(nil, uint32(len(a.HMACs)))
		for _, h := range a.HMACs {
			b = binary.NativeEndian.AppendUint16(b, h)
		}
		if err := optHMAC.setBytes(fd, b); err != nil {
			return err
		}
	}
	for _, k := range a.Keys {
		if err := setAuthKey(fd, k); err != nil {
			return err
		}
	}
	if a.Active != 0 {
		return setKeyID(fd, optAuthActive, a.Active)
	}
	return nil
}

func setAuthKey(fd int, k engine.AuthKey) error {
	// struct sctp_authkey
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, k.ID)
	b = binary.NativeEndian.AppendUint16(b, uint16(len(k.Secret)))
	b = append(b, k.Secret...)
	return authError(optAuthKey.setBytes(fd, b))
}

// Key does something with a key.
func (c *conn) Key(op engine.KeyOp, k engine.AuthKey) error {
	return c.control(func(fd int) error {
		switch op {
		case engine.SetKey:
			return setAuthKey(fd, k)
		case engine.ActivateKey:
			return setKeyID(fd, optAuthActive, k.ID)
		case engine.DeactivateKey:
			return setKeyID(fd, optAuthDeactivate, k.ID)
		default:
			return setKeyID(fd, optAuthDelete, k.ID)
		}
	})
}

func setKeyID(fd int, o option, id uint16) error {
	err := authError(o.set(fd, authKeyID{Key: id}))
	if errors.Is(err, unix.EINVAL) {
		if o == optAuthActive {
			return fmt.Errorf("key %d is not set, or was deactivated: %w", id, err)
		}
		return fmt.Errorf("key %d is not set, or is the active one: %w", id, err)
	}
	return err
}

// authError explains what the kernel says where there is no authentication.
func authError(err error) error {
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: authentication (RFC 4895) is not in use, as both ends must offer it in the handshake: %w", errors.ErrUnsupported, err)
	}
	return err
}

func (c *conn) AuthState() (engine.AuthState, error) {
	return read(c, func(fd int) (s engine.AuthState, err error) {
		var active authKeyID
		if err := authError(optAuthActive.get(fd, &active)); err != nil {
			return s, err
		}
		s.Active = active.Key
		if s.LocalChunks, err = authChunks(fd, optLocalAuthChunks); err != nil {
			return s, err
		}
		if s.PeerChunks, err = authChunks(fd, optPeerAuthChunks); err != nil {
			return s, err
		}
		// struct sctp_hmacalgo
		b := make([]byte, 4+2*16)
		n, err := optHMAC.getBytes(fd, b)
		if errors.Is(err, unix.EACCES) {
			return s, nil // an accepted socket does not know, unless by the sysctl
		} else if err != nil {
			return s, err
		}
		for i := range min(int(binary.NativeEndian.Uint32(b)), (n-4)/2) {
			s.HMACs = append(s.HMACs, binary.NativeEndian.Uint16(b[4+2*i:]))
		}
		return s, nil
	})
}

// authChunks is a struct sctp_authchunks.
func authChunks(fd int, o option) ([]uint8, error) {
	b := make([]byte, 8+256)
	n, err := o.getBytes(fd, b)
	if err != nil {
		return nil, authError(err)
	}
	return b[8:max(8, min(n, 8+int(binary.NativeEndian.Uint32(b[4:]))))], nil
}
