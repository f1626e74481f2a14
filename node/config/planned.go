package config

import (
	"regexp"
	"slices"
)

var listIndex = regexp.MustCompile(`\[\d+\]`)

// isPlanned reports whether path names a documented key whose feature is not
// built yet. Such a key is refused by name: silently ignoring a health check or
// an allow list would be worse than not having it.
func isPlanned(path string) bool {
	return slices.Contains(planned(), listIndex.ReplaceAllString(path, "[]"))
}

func planned() []string {
	return []string{
		"server.max_in_flight", "server.tls",
		"routes[].hosts", "routes[].upstreams", "routes[].balance", "routes[].health_check",
		"routes[].retry.methods", "routes[].retry.budget_ratio",
		"routes[].max_body_bytes", "routes[].max_in_flight", "routes[].stream", "routes[].preserve_host", "routes[].rewrite",
		"routes[].cors", "routes[].allow", "routes[].deny", "routes[].request_headers", "routes[].response_headers",
	}
}
