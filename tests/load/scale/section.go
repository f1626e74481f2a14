package main

import "context"

// section is one table.
type section struct {
	name string
	// measure returns the table in Markdown and what the gateway did not hold in it.
	measure func(ctx context.Context, b *bench) (table string, missed []string, err error)
}

func sections() []section {
	out := make([]section, 0, 6)
	for _, a := range axes() {
		out = append(out, section{a.name, a.measure})
	}
	return append(out, section{"time", measureTime}, section{"tail", measureTail})
}

func names() (out []string) {
	for _, s := range sections() {
		out = append(out, s.name)
	}
	return out
}
