package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
}

func TestValidate(t *testing.T) {
	const secret = "correct horse battery"
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		got := errText(c.Validate())
		if got != strings.Join(want, "\n") {
			t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
		}
		for _, key := range c.SecretKey {
			if strings.Contains(got, key) {
				t.Errorf("the secret is in the error: %s", got)
			}
		}
	}
	f(func(c *Config) { c.Bind = "0.0.0.0:7946"; c.SecretKey = Keys{secret} })
	f(func(c *Config) { c.Bind = "[::1]:0" })
	f(func(c *Config) { c.Advertise = "10.0.0.1:0"; c.Join = []string{"gateway:7946", "", "[::1]:1"} })
	f(func(c *Config) { c.Bind = "0.0.0.0:7946" },
		"bind: 0.0.0.0:7946 needs secret_key: gossip without a key is allowed on loopback only")
	f(func(c *Config) { c.Bind = "localhost:7946" }, `bind: must be ip:port, such as 0.0.0.0:7946, got "localhost:7946"`)
	f(func(c *Config) { c.Bind = "[fe80::1%eth0]:1" }, `bind: must be ip:port, such as 0.0.0.0:7946, got "[fe80::1%eth0]:1"`)
	f(func(c *Config) { c.Advertise = "0.0.0.0:1" }, `advertise: must be the ip:port others reach this node at, got "0.0.0.0:1"`)
	f(func(c *Config) { c.SecretKey = Keys{"0123456789abcde"} },
		"secret_key: must be 16, 24 or 32 bytes in base64 or a text of at least 16 bytes, got a text of 15")
	f(func(c *Config) { c.SecretKey = Keys{secret, "0123456789"} },
		"secret_key[1]: must be 16, 24 or 32 bytes in base64 or a text of at least 16 bytes, got a text of 10")
	f(func(c *Config) { c.SecretKey = slices.Repeat(Keys{secret}, 9) }, "secret_key: must be at most 8 keys, got 9")
	f(func(c *Config) { c.Label = strings.Repeat("x", 256) }, "label: must be 1 to 255 bytes, got 256")
	f(func(c *Config) { c.Bind = ""; c.Join = []string{"a:1"} },
		`join[0]: needs bind, which is empty: a node without it cannot reach "a:1"`)
	f(func(c *Config) {
		c.Bind, c.Advertise, c.Join, c.Label = "x", "y", []string{"z:1", "z", ":1", "z:0", "z:70000"}, ""
	},
		`bind: must be ip:port, such as 0.0.0.0:7946, got "x"`,
		`advertise: must be the ip:port others reach this node at, got "y"`,
		`join[1]: must be host:port with a port from 1 to 65535, got "z"`,
		`join[2]: must be host:port with a port from 1 to 65535, got ":1"`,
		`join[3]: must be host:port with a port from 1 to 65535, got "z:0"`,
		`join[4]: must be host:port with a port from 1 to 65535, got "z:70000"`,
		"label: must be 1 to 255 bytes, got 0")
}
