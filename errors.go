package sctpnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// dialError makes the error of a Dial or a Listen. Interfaces are set only to
// what is there.
func dialError(op, network string, source, addr *Addr, err error) error {
	e := &net.OpError{Op: op, Net: network, Err: err}
	if source != nil {
		e.Source = source
	}
	if addr != nil {
		e.Addr = addr
	}
	return e
}

// contextError gives the end of a context the shape that package net gives it.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return timeoutError{}
	case errors.Is(err, context.Canceled):
		return canceledError{}
	}
	return err
}

// canceledError is a call whose context was canceled. It is context.Canceled too.
type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }

// timeoutError is a dial that took too long. It is a net.Error like
// os.ErrDeadlineExceeded and is context.DeadlineExceeded too.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (timeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// rangeError says what values an option can have.
func rangeError(name string, value any, allowed string) error {
	return invalidError(fmt.Sprintf("%s is %v; allowed are %s", name, value, allowed))
}

// An invalidError is EINVAL that says what is invalid.
type invalidError string

func (e invalidError) Error() string { return string(e) }
func (invalidError) Unwrap() error   { return syscall.EINVAL }

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
