package sctpnet

import (
	"reflect"
	"strings"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// What the engine of a network does not have is one table, its Lacks: Dial,
// Listen, ListenPacket and the methods look there first.

func lacksOf(network string) engine.Lacks {
	if e := engine.Lookup(network); e != nil {
		return e.Lacks()
	}
	return nil
}

// checkCall returns an error if the engine has no such call.
func checkCall(network, name string) error {
	if lack, ok := lacksOf(network).Find(engine.LacksCall, name); ok {
		return lack.Error("")
	}
	return nil
}

// checkSetting returns an error if v sets what the engine does not have. v is the
// value of the field of Config that name says, or a Config if name is empty.
func checkSetting(network, prefix, name string, v any) error {
	for _, lack := range lacksOf(network) {
		if lack.Kind != engine.LacksSetting {
			continue
		}
		if f, ok := fieldOf(v, name, lack.Name); ok && sets(f) {
			return lack.Error(prefix)
		}
	}
	return nil
}

// checkLater returns an error if v, as in checkSetting, changes what the engine can
// set only before the handshake. now is the value that is in force.
func checkLater(network, prefix, name string, v, now any) error {
	for _, lack := range lacksOf(network) {
		if lack.Kind != engine.LacksLater {
			continue
		}
		f, ok := fieldOf(v, name, lack.Name)
		if !ok || f.IsZero() {
			continue
		}
		if n, _ := fieldOf(now, name, lack.Name); !f.Equal(n) {
			return lack.Error(prefix)
		}
	}
	return nil
}

// fieldOf returns the field of a path in v, which is itself at the path name.
func fieldOf(v any, name, path string) (f reflect.Value, ok bool) {
	f = reflect.ValueOf(v)
	if path == name {
		return f, true
	}
	if name != "" {
		if path, ok = strings.CutPrefix(path, name+"."); !ok {
			return f, false
		}
	}
	for part := range strings.SplitSeq(path, ".") {
		f = f.FieldByName(part)
	}
	return f, true
}

// sets reports whether a value is another than the one that is in force where
// it cannot be set: negative numbers stand for zero.
func sets(f reflect.Value) bool {
	if p, ok := f.Interface().(PartialReliability); ok {
		return p.Policy > ReliabilityFull
	}
	return !f.IsZero() && !(f.CanInt() && f.Int() < 0)
}
