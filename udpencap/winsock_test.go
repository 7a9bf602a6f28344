package udpencap

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestWindowsErrors has errors as they come from Windows recognised.
func TestWindowsErrors(t *testing.T) {
	bind := func(e syscall.Errno) error { return portable(os.NewSyscallError("bind", e)) }
	if err := taken(bind(10048), 4000); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "Config.LocalUDPPort") {
		t.Errorf("a port in use: %v", err)
	}
	for _, e := range []syscall.Errno{10047, 10049} {
		if err := bind(e); !lacksFamily(err) {
			t.Errorf("a family that is lacking: %v", err)
		}
	}
	for _, err := range []error{bind(syscall.EACCES), net.ErrClosed} {
		if lacksFamily(err) || errors.Is(err, syscall.EADDRINUSE) || portable(err) != err {
			t.Errorf("another error: %v", err)
		}
	}
}
