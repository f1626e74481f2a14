package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

// nodeLocal are the sections that may differ from node to node.
func nodeLocal() []string { return []string{"server", "admin", "cluster", "redis", "otel", "log"} }

// clusterHash hashes the sections that all nodes share, unexpanded: two nodes
// whose files differ only in environment, order or layout agree.
func clusterHash(text []byte) string {
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "" // not reached: the text was decoded before
	}
	for _, section := range nodeLocal() {
		delete(doc, section)
	}
	canonical, err := json.Marshal(keyedByText(doc)) // sorts keys
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8])
}

// keyedByText makes text of keys such as 1 and true, as reading a file does: JSON
// has no others, and files that do not encode would all have one hash.
func keyedByText(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = keyedByText(value)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[fmt.Sprint(key)] = keyedByText(value)
		}
		return out
	case []any:
		for i := range v {
			v[i] = keyedByText(v[i])
		}
	}
	return v
}

// Frozen returns the paths that differ between two configurations but cannot be
// swapped while the process runs.
func Frozen(running, next *Config) []string {
	var paths []string
	paths = append(paths, changed("server", running.Server, next.Server)...)
	paths = append(paths, changed("admin", running.Admin, next.Admin)...)
	paths = append(paths, changed("redis", running.Redis, next.Redis)...)
	paths = append(paths, changed("cluster", running.Cluster, next.Cluster)...)
	paths = append(paths, changed("log", running.Log, next.Log)...)
	paths = append(paths, changed("otel", running.Otel, next.Otel)...)
	swappable := []string{
		"server.trusted_proxies", "server.ipv6_prefix", "server.max_in_flight", "server.drain_delay_ms", "server.drain_timeout_ms",
	}
	if encrypted := func(c *Config) bool { return len(c.Cluster.SecretKey) > 0 }; encrypted(running) == encrypted(next) {
		swappable = append(swappable, "cluster.secret_key")
	}
	return slices.DeleteFunc(paths, func(p string) bool { return slices.Contains(swappable, p) })
}

// changed compares two sections key by key.
func changed(section string, a, b any) []string {
	var paths []string
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			paths = append(paths, join(section, va.Type().Field(i).Tag.Get("yaml")))
		}
	}
	return paths
}

// hidden keeps the names: what is sent to an upstream may be a key to it.
func hidden(fields map[string]string) map[string]string {
	out := map[string]string{}
	for name := range fields {
		out[name] = "***"
	}
	return out
}

// Redacted returns the configuration for people to read: every secret that is
// set reads "***".
func (c *Config) Redacted() map[string]any {
	shown := *c
	for _, secret := range []*string{&shown.JWT.Secret, &shown.Admin.Token, &shown.Redis.Password, &shown.Redis.SentinelPassword} {
		if *secret != "" {
			*secret = "***"
		}
	}
	shown.APIKeys = slices.Clone(c.APIKeys)
	for i := range shown.APIKeys {
		shown.APIKeys[i].Hash = "***"
	}
	shown.Routes = slices.Clone(c.Routes)
	for i := range shown.Routes {
		rules := &shown.Routes[i].RequestHeaders
		rules.Set, rules.Add = hidden(rules.Set), hidden(rules.Add)
	}
	shown.Cluster.SecretKey = slices.Repeat(cluster.Keys{"***"}, len(c.Cluster.SecretKey))
	text, err := yaml.Marshal(shown)
	if err != nil {
		panic("BUG: configuration does not encode: " + err.Error())
	}
	var out map[string]any
	if err := yaml.Unmarshal(text, &out); err != nil {
		panic("BUG: encoded configuration does not decode: " + err.Error())
	}
	return out
}
