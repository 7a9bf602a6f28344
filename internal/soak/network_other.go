//go:build !linux

package main

import "errors"

func ownNetwork() error { return errors.New("only Linux has a network that loses packets") }

func lose(int) error { return errors.New("only Linux has a network that loses packets") }
