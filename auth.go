package sctpnet

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The algorithms of authentication (RFC 4895 section 8).
const (
	HMACSHA1   uint16 = 1
	HMACSHA256 uint16 = 3
)

// An AuthKey is a shared key of both ends, with the number that names it to
// the peer.
type AuthKey struct {
	ID     uint16
	Secret []byte // 1 to 65535 bytes
}

// Auth is the authentication of chunks (RFC 4895), for which both ends must
// offer it in the handshake (SCTP_AUTH_SUPPORTED; Linux 5.4, or before it sysctl
// net.sctp.auth_enable=1). It authenticates chunks; it does not encrypt them.
type Auth struct {
	// Chunks are the types of chunk that are accepted from the peer only if
	// they are authenticated (SCTP_AUTH_CHUNK, RFC 6458 section 8.3.2): 0
	// for DATA, 0xc1 and 0x80 for changes of addresses. INIT, INIT ACK,
	// SHUTDOWN COMPLETE and AUTH (1, 2, 14 and 15) cannot be. Up to 20.
	Chunks []uint8
	// HMACs are the algorithms accepted, the preferred one first
	// (SCTP_HMAC_IDENT, section 8.1.17). The RFC requires that HMACSHA1 be
	// among them. None means both.
	HMACs []uint16
	// Keys are the shared keys (SCTP_AUTH_KEY, section 8.3.3). Key 0, empty,
	// exists always.
	Keys []AuthKey
	// Active is the number of the key to send with (SCTP_AUTH_ACTIVE_KEY,
	// section 8.1.18).
	Active uint16
}

// AuthState is the state of authentication.
type AuthState struct {
	// Active is the number of the key to send with.
	Active uint16
	// LocalChunks and PeerChunks are the types of chunk that we, and the
	// peer, accept only if they are authenticated.
	LocalChunks, PeerChunks []uint8
	// HMACs are the algorithms that we accept. It is empty where the system
	// does not tell, as Linux does not of an accepted association unless
	// net.sctp.auth_enable is 1.
	HMACs []uint16
}

func (k *AuthKey) check(name string) error {
	if n := len(k.Secret); n == 0 || n > most16 {
		return rangeError(name+".Secret", strconv.Itoa(n)+" bytes", fmt.Sprintf("1 to %d", most16))
	}
	return nil
}

func (a *Auth) check() error {
	if a == nil {
		return nil
	}
	// The kernel's SCTP_NUM_CHUNK_TYPES.
	if n := len(a.Chunks); n > 20 {
		return rangeError("Config.Auth.Chunks", strconv.Itoa(n)+" types", "0 to 20")
	}
	for _, c := range a.Chunks {
		switch c {
		case 1, 2, 14, 15:
			return rangeError("an element of Config.Auth.Chunks", c, "0 to 255 without 1 (INIT), 2 (INIT ACK), 14 (SHUTDOWN COMPLETE) and 15 (AUTH)")
		}
	}
	for _, h := range a.HMACs {
		if h != HMACSHA1 && h != HMACSHA256 {
			return rangeError("an element of Config.Auth.HMACs", h, "1 (SHA-1) and 3 (SHA-256)")
		}
	}
	if len(a.HMACs) > 2 || len(a.HMACs) > 0 && !slices.Contains(a.HMACs, HMACSHA1) {
		return rangeError("Config.Auth.HMACs", a.HMACs, "1 (SHA-1), which must be there, and 3 (SHA-256)")
	}
	found := a.Active == 0
	for i, k := range a.Keys {
		if err := k.check(fmt.Sprintf("Config.Auth.Keys[%d]", i)); err != nil {
			return err
		}
		found = found || k.ID == a.Active
	}
	if !found {
		return rangeError("Config.Auth.Active", a.Active, "0 and the numbers of Keys")
	}
	return nil
}

// engine copies.
func (a *Auth) engine() *engine.Auth {
	e := &engine.Auth{Chunks: slices.Clone(a.Chunks), HMACs: slices.Clone(a.HMACs), Active: a.Active}
	for _, k := range a.Keys {
		e.Keys = append(e.Keys, engine.AuthKey{ID: k.ID, Secret: slices.Clone(k.Secret)})
	}
	return e
}

// SetAuthKey adds a shared key, or replaces the one of the same number
// (SCTP_AUTH_KEY, RFC 6458 section 8.3.3). It is not used for sending before
// ActivateAuthKey. This and the other methods for keys give an error that wraps
// [errors.ErrUnsupported] where the ends did not agree on authentication.
func (c *Conn) SetAuthKey(k AuthKey) error {
	return c.do("set", "SetAuthKey", k.check("AuthKey"), func() error { return c.e.Key(engine.SetKey, engine.AuthKey(k)) })
}

// ActivateAuthKey makes a key that was set the one to send with
// (SCTP_AUTH_ACTIVE_KEY, RFC 6458 section 8.1.18).
func (c *Conn) ActivateAuthKey(id uint16) error {
	return c.key("ActivateAuthKey", engine.ActivateKey, id)
}

// DeactivateAuthKey says that a key, which is not the active one, will not be
// sent with any more (SCTP_AUTH_DEACTIVATE_KEY, RFC 6458 section 8.3.4). It is
// still good for what the peer sends.
func (c *Conn) DeactivateAuthKey(id uint16) error {
	return c.key("DeactivateAuthKey", engine.DeactivateKey, id)
}

// DeleteAuthKey removes a key, which is not the active one
// (SCTP_AUTH_DELETE_KEY, RFC 6458 section 8.3.5).
func (c *Conn) DeleteAuthKey(id uint16) error {
	return c.key("DeleteAuthKey", engine.DeleteKey, id)
}

func (c *Conn) key(name string, op engine.KeyOp, id uint16) error {
	return c.do("set", name, nil, func() error { return c.e.Key(op, engine.AuthKey{ID: id}) })
}

// AuthState returns the state of authentication.
func (c *Conn) AuthState() (AuthState, error) {
	return get(c, "get", "AuthState", nil, func() (AuthState, error) {
		s, err := c.e.AuthState()
		return AuthState(s), err
	})
}
