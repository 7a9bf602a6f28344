package sctpnet

import (
	"reflect"
	"sync"
)

// copyFields sets the fields of the struct *to that the struct *from has too, by
// their names. So package engine can have types of its own, and a setting is
// named once in each package.
func copyFields(to, from any) { copyValues(reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()) }

func copyValues(to, from reflect.Value) {
	for _, m := range matchesOf(to.Type(), from.Type()) {
		switch v, src := to.Field(m.to), from.FieldByIndex(m.from); {
		case v.Kind() == reflect.Struct:
			copyValues(v, src)
		case !src.IsZero() || !v.IsZero():
			v.Set(src.Convert(v.Type()))
		}
	}
}

// A match is a field that two struct types have.
type match struct {
	to   int
	from []int
}

var allMatches sync.Map // of [2]reflect.Type, to []match

func matchesOf(to, from reflect.Type) []match {
	key := [2]reflect.Type{to, from}
	if m, ok := allMatches.Load(key); ok {
		return m.([]match)
	}
	var all []match
	for i := range to.NumField() {
		f := to.Field(i)
		if src, ok := from.FieldByName(f.Name); ok && !f.Anonymous && (f.Type.Kind() == reflect.Struct || src.Type.ConvertibleTo(f.Type)) {
			all = append(all, match{i, src.Index})
		}
	}
	allMatches.Store(key, all)
	return all
}
