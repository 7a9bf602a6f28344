//go:build !linux

package testnet

import (
	"errors"
	"os"
	"os/exec"
)

var errUnsupported = errors.New("only Linux has network namespaces")

func isMainThread() bool { return false }

func unshare() error        { return errUnsupported }
func enter(*os.File) error  { return errUnsupported }
func isolate(cmd *exec.Cmd) { cmd.Err = errUnsupported }
