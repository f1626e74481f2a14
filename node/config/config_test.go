package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// env is an environment of the given pairs.
func env(pairs ...string) func(string) (string, bool) {
	vars := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestShippedConfigIsValid(t *testing.T) {
	text, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse(text, env())
	if err != nil {
		t.Fatalf("the shipped config.yaml is refused: %v", err)
	}
	documented := map[string]bool{}
	for path := range cfg.lines {
		documented[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "[]")] = true
	}
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		if !documented[key] {
			t.Errorf("config.yaml does not show %s", key)
		}
	}
	if len(cfg.Redis.Addrs) != 0 || len(cfg.Server.TrustedProxies) != 0 || len(cfg.Cluster.Join) != 0 {
		t.Errorf("unset variables leave list elements: %v %v %v", cfg.Redis.Addrs, cfg.Server.TrustedProxies, cfg.Cluster.Join)
	}
}

// keysOf lists the path of every key of a struct, with [] for list elements.
func keysOf(typ reflect.Type, path string) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		if typ == reflect.TypeFor[*CORS]() {
			return []string{path} // its keys are shown once
		}
		return keysOf(typ.Elem(), path)
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Struct {
			return keysOf(typ.Elem(), path+"[]")
		}
	case reflect.Struct:
		if typ == reflect.TypeFor[RateLimit]() && !strings.HasSuffix(path, "rate_limits[]") {
			return []string{join(path, "rps")} // the other keys are shown once
		}
		var keys []string
		for i := range typ.NumField() {
			name, options, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				keys = append(keys, keysOf(typ.Field(i).Type, path)...)
			case name != "":
				keys = append(keys, keysOf(typ.Field(i).Type, join(path, name))...)
			}
		}
		return keys
	}
	return []string{path}
}

// The file as the product was first described must keep working word for word.
const firstDescription = `
server: {host: "0.0.0.0", port: 8080, read_timeout_ms: 5000, write_timeout_ms: 5000}
jwt: {secret: "a-secret-of-more-than-thirty-two-bytes", issuer: "api-gateway"}
otel: {endpoint: "jaeger:4318", service_name: "api-gateway"}
global_rate_limit: {rps: 1000, burst: 1200, key_by: "global"}
routes:
  - path: "/api/users/*"
    upstream: "http://users-service:8080"
    methods: ["GET", "POST", "PUT", "DELETE"]
    strip_prefix: "/api/users"
    auth_required: true
    rate_limit: {rps: 100, burst: 150, key_by: "user"}
    timeout_ms: 5000
    retry: {attempts: 3, backoff_ms: 100}
  - path: "/api/public/*"
    upstream: "http://public-service:8080"
    methods: ["GET"]
    auth_required: false
    rate_limit: {rps: 200, burst: 250, key_by: "ip"}
    timeout_ms: 3000
`

func TestFirstDescriptionStillWorks(t *testing.T) {
	cfg, err := Parse([]byte(firstDescription), env())
	if err != nil {
		t.Fatal(err)
	}
	users := cfg.Routes[0]
	want := RateLimit{KeyBy: "user", RPS: 100, Burst: 150}
	if diff := cmp.Diff(want, *users.RateLimit); diff != "" {
		t.Error(diff)
	}
	if users.Retry.Attempts != 3 || users.StripPrefix != "/api/users" || !users.AuthRequired || users.TimeoutMS != 5000 {
		t.Errorf("route is %+v", users)
	}
}

func TestParseRefuses(t *testing.T) {
	const route = `{path: "/a", upstream: "http://a"}`
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(text), env("SET", "x", "EMPTY", ""))
		if err == nil {
			t.Errorf("%q is accepted, want %q", text, want)
			return
		}
		got := strings.Split(err.Error(), "\n")
		if len(got) != len(want) {
			t.Errorf("%q gives %d faults, want %d:\n%s", text, len(got), len(want), err)
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%q: fault %d is %q, want %q in it", text, i, got[i], want[i])
			}
		}
	}
	f("sever: {port: 1}", "sever: unknown key, allowed: admin, api_keys, cluster, cors,")
	f("server: {prot: 1}", "server.prot: unknown key, allowed: body_limit_bytes,")
	f("server: {port: eighty}", `server.port: must be a whole number, got "eighty" (line 1)`)
	f(`server: {port: "80"}`, `server.port: must be a whole number, got "80"`)
	f("server: {port: 70000}", "server.port: must be between 0 and 65535, got 70000 (line 1)")
	f("server: [1]", "server: must be a section of keys, got a list")
	f("server: {host: example.com}", `server.host: must be an IP address or localhost, got "example.com"`)
	f("server: {trusted_proxies: [10.0.0.0/33]}", "server.trusted_proxies[0]: ")
	f("server: {drain_delay_ms: 20000}", "server.drain_delay_ms: must be less than drain_timeout_ms (15000), got 20000")
	f("server: {builtin: {docs: maybe}}", `server.builtin.docs: must be one of data, admin, off, got "maybe"`)
	f("server: {port: 1, port: 2}", "server.port: must appear once")
	f("server: {max_in_flight: -1}", "server.max_in_flight: must be between 0 and 1000000, got -1")
	f("routes: 5", `routes: must be a list, got "5"`)
	f("server: {tls: {cert_file: a}}", `server.tls.cert_file: must stand with tls.key_file, got "a" and ""`)
	f("server: {tls: {cert_file: /absent, key_file: /absent}}", "server.tls.cert_file: cannot use the certificate in /absent")
	f(`routes: [{path: "/a", upstream: "http://a", balance: random}]`, `routes[0].balance: must be one of p2c, round_robin, hash, got "random" (line 1)`)
	f(`routes: [{path: "/a", upstreams: [{url: "http://a"}, {url: "b"}]}]`, `routes[0].upstreams[1].url: must be an http or https URL with a host, got "b"`)
	f(`routes: [{path: "/a", upstream: "http://a", health_check: {path: "x"}}]`, `routes[0].health_check.path: must be a canonical path such as /health, got "x"`)
	f(`routes: [{path: "/a", upstream: "http://u", connections: {max: 1}}, {path: "/b", upstreams: [{url: "http://u"}], connections: {max: 2}}]`,
		`routes[1].connections: must equal that of routes[0], which has the same upstream http://u`)
	f(`routes: [{path: "/a", upstream: "http://a", retry: {statuses: [x]}}]`, `routes[0].retry.statuses[0]: must be a whole number, got "x"`)
	f(`routes: [{path: "/a", upstream: "http://a", allow: ["10.0.0.0/8", "x"], deny: ["y"]}]`, `routes[0].allow[1]: must be an address or a CIDR such as 10.0.0.0/8, got "x"`, `routes[0].deny[0]: `)
	f(`routes: [{path: "/a/:x", upstream: "http://a", rewrite: "/b/:y"}]`, `routes[0].rewrite: must name parameters of path only, not :y`)
	f(`routes: [{path: "/a", upstream: "http://a", rewrite: "/b", strip_prefix: "/a"}]`, `routes[0].rewrite: must not stand beside strip_prefix, got both`)
	f(`routes: [{path: "/a", upstream: "http://a", cors: {allow_origins: [x]}}]`, `routes[0].cors.allow_origins[0]: must be * or scheme`)
	f(`routes: [{path: "/a", upstream: "http://a", max_in_flight: -1}]`, `routes[0].max_in_flight: must be between 0 and 1000000, got -1`)
	f(`routes: [{path: "/a", upstream: "http://a", max_body_bytes: 5000000}]`, `routes[0].max_body_bytes: must be at most server.body_limit_bytes (4194304), got 5000000`)
	f(`routes: [{path: "/a", upstream: "http://a", response_headers: {set: {Content-Length: "1"}}}]`, `routes[0].response_headers.set.Content-Length: must not be a field`)
	f(`routes: [{path: "/a", upstream: "http://a", request_headers: {set: {X: "s\necret"}}}]`, `routes[0].request_headers.set.X: must be text without line breaks`)
	f(`routes: [{path: "/a", upstream: "http://a", auth_required: yes}]`, `routes[0].auth_required: must be true or false, got "yes"`)
	f(`routes: [{path: "/a", upstream: "ftp://a"}]`, "routes[0].upstream: ")
	f(`routes: [{path: "/a", upstream: "no url"}]`, "routes[0].upstream: ")
	f(`routes: [{path: "/a", upstream: "http://a", methods: [get]}]`, `routes[0].methods[0]: must be one of GET, HEAD,`)
	f("routes: ["+route+", "+route+"]", "routes[1].path: ")
	f(`routes: [{path: "/health", upstream: "http://a"}]`, `routes[0].path: must not shadow the built-in /health, got "/health"`)
	f(`routes: [{path: "/a", upstream: "http://a", hosts: ["a.com:80"]}]`, `routes[0].hosts[0]: must be a name such as api.example.com`)
	f(`routes: [{path: "/a/:x", upstream: "http://a"}, {path: "/a/:y", upstream: "http://a"}]`, `routes[1].path: must be another than that of routes[0]`)
	f(`routes: [{path: "/docs/*", upstream: "http://a"}]`, "routes[0].path: must not shadow the built-in /docs")
	f(`routes: [{path: "/a", upstream: "http://a", rate_limit: {rps: -5}}]`, "routes[0].rate_limit.rps: must be at least 1, got -5")
	f(`routes: [{path: "/a", upstream: "http://a", rate_limit: {rps: 5, key_by: team}}]`, `routes[0].rate_limit.key_by: must be one of global, user, ip, header:NAME, claim:NAME, got "team"`)
	f(`routes: [{path: "/a", upstream: "http://a", rate_limit: {rps: 5, burst: -1}}]`, "routes[0].rate_limit.burst: must be at least 1, got -1")
	f(`routes: [{path: "/a", upstream: "http://a", auth_required: true}]`, "jwt.secret: must be set when a route has auth_required: true, or else")
	f(`routes: [{path: "/a", upstream: "http://a", auth_optional: true}]`, "jwt.secret: must be set when a route has auth_required: true, or else")
	const known = "jwt: {secret: x}\nroutes: [{path: /a, upstream: \"http://a\", "
	f(known+"auth_required: true, auth_optional: true}]", "routes[0].auth_optional: must be false beside auth_required: true, got true")
	f(known+"require: {scope: a}}]", "routes[0].require: must stand beside auth_required: true")
	f(known+"auth_required: true, require: {}}]", "routes[0].require.scope: must name a scope unless claims does, got nothing")
	f(known+`auth_required: true, require: {claims: {team: ""}}}]`, `routes[0].require.claims.team: must name a claim and its value, got ""`)
	f(known+"auth_required: true, require: {scope: b, role: a}}]", "routes[0].require.role: unknown key, allowed: claims, scope")
	f("api_keys: [{name: a, hash: planted}]", "api_keys[0].hash: must be sha256: and 64 hexadecimal digits (printf %s KEY | sha256sum) (line 1)")
	f("server: {ipv6_prefix: 20}", "server.ipv6_prefix: must be between 32 and 128, got 20")
	f("global_rate_limit: {rps: 5, key_by: ip}", `global_rate_limit.key_by: must be global here, got "ip"`)
	f("jwt: {algorithms: [none]}", `jwt.algorithms[0]: `)
	f("log: {level: loud}", "log.level: ")
	f("otel: {sample_ratio: 2}", "otel.sample_ratio: ")
	f("log: {access: some}", "log.access: must be one of all, errors, off, got \"some\"")
	f("log: {access_sample: 2}", "log.access_sample: must be between 0 and 1, got 2")
	f("redis: {mode: ring}", "redis.mode: ")
	f("redis: {addrs: [nowhere]}", "redis.addrs[0]: ")
	f(`cluster: {bind: "0.0.0.0:7946"}`, "cluster.bind: ")
	f("cors: {allow_origins: [example.com]}", `cors.allow_origins[0]: must be * or scheme://host[:port] as browsers write it, got "example.com"`)
	const asBrowsers = "cors.allow_origins[0]: must be * or scheme://host[:port] as browsers write it, got "
	f("cors: {allow_origins: [\"null\"]}", asBrowsers+`"null"`)
	f("cors: {allow_origins: [\"https://example.com/\"]}", asBrowsers)
	f("cors: {allow_origins: [\"https://Example.com\"]}", asBrowsers)
	f("cors: {allow_origins: [\"https://example.com:443\"]}", asBrowsers)
	f("cors: {allow_origins: [\"http://example.com:80\"]}", asBrowsers)
	f("cors: {allow_origins: [\"https://user@example.com\"]}", asBrowsers)
	f("cors: {allow_origins: [\"https://*.example.com\", \"file://\"]}", `cors.allow_origins[0]`, `cors.allow_origins[1]`)
	f("cors: {allow_origins: [\"https://a.example\"], allow_credentials: true, allow_headers: [\"*\"]}", "cors.allow_headers[0]: must be a name beside allow_credentials: true")
	f(`cors: {allow_origins: ["*"], allow_credentials: true}`, "cors.allow_credentials: must be false while allow_origins has")
	f("admin: {host: 0.0.0.0}", `admin.token: must be set when host is not loopback, got none with host "0.0.0.0"`)
	f("admin: {host: gateway.internal}", `admin.token: must be set when host is not loopback, got none with host "gateway.internal"`)
	f("admin: {host: \"a b\", token: 0123456789abcdef}", `admin.host: must be an IP address or a host name, got "a b"`)
	f("admin: {host: \"10.0.0\", token: 0123456789abcdef}", `admin.host: must be an IP address or a host name, got "10.0.0"`)
	f("admin: {token: short}", "admin.token: must have at least 16 characters, got 5")
	f(`jwt: {secret: "${UNSET}"}`, "jwt.secret: environment variable UNSET is not set and ${UNSET} gives no default")
	f(`jwt: {secret: "${SET"}`, "jwt.secret: must close ${ with }, or write $${ for a literal ${")
	f(`server: {port: "${SET}"}`, `server.port: must be a whole number, got "x"`)
	f("", "must hold a configuration, got an empty file")
	f(" \n", "must hold a configuration, got an empty file")
	f("a: {b: 1\n", "cannot parse YAML: ")
	f("log: {level: info}\n---\nlog: {}", "must hold one YAML document")
	f("server: {prot: 1, port: x}\nlog: {level: loud}\n", "server.prot", "server.port", "log.level")
}

func TestLimitsRefused(t *testing.T) {
	f := func(limits string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(`routes: [{path: "/a", upstream: "http://a", rate_limits: [`+limits+`]}]`), env())
		got := flatten(err)
		if len(got) != len(want) {
			t.Fatalf("%s: got %v, want %d faults", limits, err, len(want))
		}
		for i := range want {
			if !strings.HasPrefix(got[i].Error(), "routes[0].rate_limits"+want[i]) {
				t.Errorf("%s: fault %d is %q, want %q", limits, i, got[i], want[i])
			}
		}
	}
	f(`{rps: 1, key_by: user}, {rate: 100, per: hour, key_by: user}, {rps: 1, key_by: "header:X-Tenant"}, {rps: 1, key_by: "claim:https://x/t"}`)
	f(`{rps: 1, cost: 2}`, "[0].cost: must be from 1 to the burst 1, got 2")
	f(`{rps: 1, cost: -1}`, "[0].cost: must be from 1 to the burst 1, got -1")
	f(`{rate: 5, per: week}`, `[0].per: must be one of second, minute, hour, day, got "week"`)
	f(`{rps: 5, per: hour}`, `[0].per: must stand beside rate, got "hour" without`)
	f(`{rps: 5, rate: 5}`, "[0].rate: must not stand beside rps, got both")
	f(`{rate: -5, per: day}`, "[0].rate: must be at least 1, got -5")
	f(`{rate: 6000001, per: minute}`, "[0].rate: must be at most 100000 per second, got 100000")
	f(`{}`, "[0].rps: must be at least 1, got 0")
	f(`{rps: 5, name: "a b"}`, `[0].name: must be up to 64 letters, digits, dots, dashes or underscores, got "a b"`)
	f(`{rps: 5, on_redis_down: panic}`, `[0].on_redis_down: must be one of share, closed, open, got "panic"`)
	f(`{rps: 5, key_by: "header:"}`, `[0].key_by: must be one of global, user, ip, header:NAME, claim:NAME, got "header:"`)
	f(`{rps: 5, key_by: "header:X Y"}`, "[0].key_by: must be one of")
	f(`{rps: 5, key_by: "ip:x"}`, "[0].key_by: must be one of")
	f(`{rps: 5, key_by: claim}`, "[0].key_by: must be one of")
	f(`{rps: 5, key_by: ip}, {rps: 6, key_by: ip}`, `[1].key_by: must differ from the other limits of the route`)
	f(`{rps: 5, key_by: ip, name: a}, {rps: 6, key_by: user, name: a}`, `[1].key_by: must differ`, `[1].name: must not be that of another limit with other values, got "a"`)
	f(strings.Repeat(`{rps: 5},`, 9), ": must be at most 8, got 9", "[1].key", "[2].key", "[3].key", "[4].key", "[5].key", "[6].key", "[7].key", "[8].key")
}

func TestLimitDefaults(t *testing.T) {
	cfg, err := Parse([]byte(`{global_rate_limit: {rps: 5}, routes: [{path: /a, upstream: "http://a", rate_limit: {rps: 7}}]}`), env())
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.GlobalRateLimit.Limit("g"); got.Scope != "global" || got.Burst != 5 {
		t.Errorf("the cluster's limit is %+v", got)
	}
	if got := cfg.Routes[0].RateLimit.Limit("r"); got.Scope != "ip" || got.Burst != 7 || got.Period != time.Second {
		t.Errorf("the route's limit is %+v", got)
	}
	hourly := RateLimit{KeyBy: "header:X-Tenant", Rate: 500, Per: "hour"}
	if got := hourly.Limit("r"); got.Scope != "header" || got.Burst != 500 || got.Period != time.Hour || got.ID != "r|header:X-Tenant/hour" {
		t.Errorf("the hourly limit is %+v", got)
	}
	named := RateLimit{KeyBy: "user", RPS: 5, Name: "team"}
	if a, b := named.Limit("a"), named.Limit("b"); a != b || a.ID != "name:team" {
		t.Errorf("two limits of one name are %+v and %+v", a, b)
	}
}

func TestExpand(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, err := expand(text, env("A", "1", "B", ""))
		if err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	f("plain $A", "plain $A")
	f("${A}", "1")
	f("x${A}y${A}z", "x1y1z")
	f("${B}", "")
	f("${B:-d}", "d")
	f("${C:-d}", "d")
	f("${C:-}", "")
	f("${C:-a:-b}", "a:-b")
	f("$${A}", "${A}")
	f("$${A} ${A}", "${A} 1")
}

func TestHashIgnoresLayoutEnvironmentAndNodeSections(t *testing.T) {
	parse := func(text string) string {
		t.Helper()
		cfg, err := Parse([]byte(text), env("S", "some-secret"))
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Hash()
	}
	base := parse("jwt: {secret: \"${S}\", issuer: a}\nglobal_rate_limit: {rps: 5, key_by: global}\n")
	same := parse("# comment\nserver: {port: 1}\nglobal_rate_limit:\n  key_by: global\n  rps: 5\njwt: {issuer: a, secret: \"${S}\"}\n")
	other := parse("jwt: {secret: \"${S}\", issuer: a}\nglobal_rate_limit: {rps: 6, key_by: global}\n")
	if base != same {
		t.Errorf("order, layout or node-local sections change the hash: %s, %s", base, same)
	}
	if base == other {
		t.Error("another rate has the same hash")
	}
}

func TestFrozenNamesWhatCannotBeSwapped(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		base, err := Parse([]byte("{}"), env())
		if err != nil {
			t.Fatal(err)
		}
		next, err := Parse([]byte(text), env())
		if err != nil {
			t.Fatal(err)
		}
		if got := Frozen(base, next); !slices.Equal(want, got) {
			t.Errorf("%q: frozen are %v, want %v", text, got, want)
		}
	}
	f("server: {port: 81}", "server.port")
	f("server: {trusted_proxies: [10.0.0.0/8], drain_delay_ms: 5, ipv6_prefix: 56}")
	f("redis: {addrs: [\"r:6379\"]}\nlog: {level: debug}", "redis.addrs", "log.level")
	f("jwt: {issuer: other}")
	f("cluster: {secret_key: a-key-of-many-bytes}", "cluster.secret_key")
}

// Keys are replaced at run time; whether there is one at all is not.
func TestKeysAreSwappable(t *testing.T) {
	parse := func(keys string) *Config {
		t.Helper()
		cfg, err := Parse([]byte("cluster: {bind: \"127.0.0.1:0\", secret_key: "+keys+"}"), env("K", "the-first-key-of-all"))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	f := func(running, next string, want ...string) {
		t.Helper()
		if got := Frozen(parse(running), parse(next)); !slices.Equal(want, got) {
			t.Errorf("%s to %s: frozen are %v, want %v", running, next, got, want)
		}
	}
	f(`"${K}"`, `["${K}", the-second-key-of-all]`)
	f("[the-first-key-of-all]", `"${K}"`)
	f(`"${K}"`, `""`, "cluster.secret_key")
	f(`"${NONE:-}"`, `["${K}"]`, "cluster.secret_key")
}

func TestRedactedHidesSecrets(t *testing.T) {
	cfg, err := Parse([]byte("jwt: {secret: planted-secret}\nadmin: {token: planted-secret-token}\nredis: {password: planted-secret}\n"+
		"cluster: {secret_key: [planted-secret-key, planted-second-key]}\n"+
		"api_keys: [{name: one, hash: \"sha256:"+strings.Repeat("b1a57ed0", 8)+"\"}]"), env())
	if err != nil {
		t.Fatal(err)
	}
	shown := cfg.Redacted()
	if text := cmp.Diff(nil, shown); strings.Contains(text, "planted") || strings.Contains(text, "b1a57ed0") || !strings.Contains(text, "***") {
		t.Errorf("a secret is shown: %s", text)
	}
	if cfg.JWT.Secret != "planted-secret" || cfg.Cluster.SecretKey[1] != "planted-second-key" || !strings.Contains(cfg.APIKeys[0].Hash, "b1a57ed0") {
		t.Error("redacting changed the running configuration")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(firstDescription)
	f.Add("a: &a [*a]")
	f.Add("routes: [{path: ${A:-x}}]")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse([]byte(text), env())
		if (cfg == nil) == (err == nil) {
			t.Errorf("Parse(%q) = %v, %v", text, cfg, err)
		}
	})
}
