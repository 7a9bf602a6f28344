package engine

import (
	"errors"
	"fmt"
)

// A Lack is something that an engine does not have. Package sctpnet and an
// engine return an error that wraps errors.ErrUnsupported for a Lack, and for
// nothing else that does not depend on the system or the peer.
type Lack struct {
	Kind Kind
	Name string // in package sctpnet
	Why  string
}

// A Kind is what a Lack is one of.
type Kind uint8

const (
	// LacksSetting is a field of Config, such as "PathParams.DSCP". Only its zero
	// value and, of a number, negative values are possible. The method that
	// sets the same later has the same limits.
	LacksSetting Kind = iota + 1
	// LacksLater is a field of Config too. It can be set before the handshake
	// only.
	LacksLater
	// LacksCall is a method, such as "Conn.File", or one use of it.
	LacksCall
	// LacksEvent is a type of event that never comes, such as "SendFailedEvent",
	// or one change of such a type, such as "PathEvent removed".
	LacksEvent
)

// Lacks is all that an engine does not have.
type Lacks []Lack

// Find returns the Lack of a name, if there is one.
func (l Lacks) Find(kind Kind, name string) (Lack, bool) {
	for _, lack := range l {
		if lack.Kind == kind && lack.Name == name {
			return lack, true
		}
	}
	return Lack{}, false
}

// Error is what a call returns that would need a Lack. The prefix goes before
// its name.
func (l Lack) Error(prefix string) error {
	when := ""
	if l.Kind == LacksLater {
		when = " after the handshake"
	}
	return fmt.Errorf("%s%s%s: %w: %s", prefix, l.Name, when, errors.ErrUnsupported, l.Why)
}
