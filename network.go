package sctpnet

import (
	"errors"
	"net"
	"strings"

	"github.com/sctpnet/sctpnet/internal/engine"
	_ "github.com/sctpnet/sctpnet/internal/kernel" // the networks "sctp"
)

// Available returns nil if the named network can be used on this system, and
// otherwise an error that says why not and what to do about it. Where SCTP is
// missing the error wraps [errors.ErrUnsupported]; where there is no such
// network it is a [net.UnknownNetworkError].
//
// Available does not create any association; it may load the kernel's module.
func Available(network string) error {
	_, e, err := lookupNetwork(network, "sctp")
	if err != nil {
		return err
	}
	return e.Available()
}

// lookupNetwork returns the network's name as SCTP's and the engine behind it. tcp is the
// network that the name "tcp" stands for, which code written for TCP uses.
func lookupNetwork(network, tcp string) (string, engine.Engine, error) {
	name := network
	switch network {
	case "tcp", "tcp4", "tcp6":
		name = tcp
		if suffix, ok := strings.CutPrefix(tcp, "sctp"); ok && (suffix == "" || suffix[0] == '+') {
			name = "sctp" + network[len("tcp"):] + suffix
		}
	}
	switch family(name) {
	case "sctp", "sctp4", "sctp6":
		if e := engine.Lookup(name); e != nil {
			return name, e, nil
		}
		if strings.HasSuffix(name, "+udp") {
			return "", nil, &missingImportError{name}
		}
	}
	return "", nil, net.UnknownNetworkError(name)
}

// A missingImportError says which package to import for a network.
type missingImportError struct{ network string }

func (e *missingImportError) Error() string {
	return "network " + e.network + ` needs import _ "github.com/sctpnet/sctpnet/udpencap"`
}

func (e *missingImportError) Unwrap() error { return errors.ErrUnsupported }

// family is the part of a network's name that chooses the address families.
func family(network string) string {
	f, _, _ := strings.Cut(network, "+")
	return f
}

// anyFamily is a network's name without the choice of an address family.
func anyFamily(network string) string { return "sctp" + strings.TrimPrefix(network, family(network)) }
