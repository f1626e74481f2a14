package telemetry

import (
	"strings"
	"unicode"
)

// maxText is how much of what a client chose a log line holds, in bytes.
const maxText = 2048

// Printable returns text that a client chose as it may stand in a log: what does not show, or turns what
// follows around, is replaced by U+FFFD, and all after the first 2048 bytes by an ellipsis. Most text is
// returned as it came.
func Printable(text string) string {
	if len(text) <= maxText && plain(text) {
		return text
	}
	end := ""
	if len(text) > maxText {
		text, end = text[:maxText], "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text) + end
}

func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
