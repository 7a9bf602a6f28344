package udpencap

import (
	"syscall"
	"testing"
)

// TestSetBuffer asks systems that have different limits.
func TestSetBuffer(t *testing.T) {
	for _, tt := range []struct{ limit, want int }{
		{8 << 20, 4 << 20},
		{4 << 20, 4 << 20},
		{1864135, 1 << 20}, // FreeBSD's
		{64 << 10, 64 << 10},
		{64<<10 - 1, 0},
		{0, 0},
	} {
		got := 0
		granted := setBuffer(4<<20, func(bytes int) error {
			if bytes > tt.limit {
				return syscall.ENOBUFS
			}
			got = bytes
			return nil
		})
		if got != tt.want || granted != max(got, leastBufferSize) {
			t.Errorf("of at most %d bytes it has %d, and says %d, want %d", tt.limit, got, granted, tt.want)
		}
	}
}
