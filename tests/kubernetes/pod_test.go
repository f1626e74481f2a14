package kubernetes

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The pod has no right it does not need.
func TestPodIsConfined(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		template, c := o.pod(t)
		pod, own := template.Spec.SecurityContext, c.SecurityContext
		if pod == nil || own == nil {
			t.Fatal("want security contexts on pod and container")
		}
		f := func(what string, ok bool) {
			t.Helper()
			if !ok {
				t.Errorf("want %s", what)
			}
		}
		f("runAsNonRoot and the image's user 65532", is(pod.RunAsNonRoot, true) && is(pod.RunAsUser, 65532) && is(pod.RunAsGroup, 65532))
		f("seccomp RuntimeDefault", pod.SeccompProfile != nil && pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault)
		f("a read-only root file system", is(own.ReadOnlyRootFilesystem, true))
		f("no privilege escalation", is(own.AllowPrivilegeEscalation, false))
		f("no capability", own.Capabilities != nil && slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(own.Capabilities.Add) == 0)
		f("no service account's token", is(template.Spec.AutomountServiceAccountToken, false))
		f("no variables of Services", is(template.Spec.EnableServiceLinks, false))
		f("not the host's network", !template.Spec.HostNetwork && !template.Spec.HostPID)
	})
}

// The collector works harder before the kernel would kill.
func TestMemoryLimitIsTold(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		_, c := o.pod(t)
		told, err := resource.ParseQuantity(strings.TrimSuffix(environment(c)["GOMEMLIMIT"], "B"))
		if err != nil {
			t.Fatalf("GOMEMLIMIT %q: %v", environment(c)["GOMEMLIMIT"], err)
		}
		limit := c.Resources.Limits.Memory().Value()
		if told.Value() < limit*80/100 || told.Value() > limit*95/100 {
			t.Errorf("GOMEMLIMIT is %d of %d bytes, want from 80 to 95 %%", told.Value(), limit)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Cpu().IsZero() {
			t.Error("want requests of CPU and memory and a limit of CPU")
		}
	})
}

// A pod that ends has the time its configuration takes.
func TestShutdownFits(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		template, c := o.pod(t)
		server := o.config(t).Server
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Fatal("want a preStop that sleeps: the image has no shell")
		}
		const spare = 2000
		needs := c.Lifecycle.PreStop.Sleep.Seconds*1000 + server.DrainTimeoutMS + spare
		if grace := *template.Spec.TerminationGracePeriodSeconds * 1000; grace < needs {
			t.Errorf("terminationGracePeriodSeconds is %d ms, want at least preStop, drain_timeout_ms and %d: %d", grace, spare, needs)
		}
		if server.DrainDelayMS <= 0 || server.DrainDelayMS >= server.DrainTimeoutMS {
			t.Errorf("drain_delay_ms is %d, want above 0 and below drain_timeout_ms %d", server.DrainDelayMS, server.DrainTimeoutMS)
		}
		r := c.ReadinessProbe
		if notice := int64(r.PeriodSeconds*r.FailureThreshold) * 1000; notice > server.DrainDelayMS+c.Lifecycle.PreStop.Sleep.Seconds*1000 {
			t.Errorf("/ready is given up on after %d ms, when the listener is closed", notice)
		}
	})
}

// A directory, since a subPath is never updated.
func TestConfigurationIsMountedAsADirectory(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		template, c := o.pod(t)
		if len(c.VolumeMounts) != 1 || len(template.Spec.Volumes) != 1 || template.Spec.Volumes[0].ConfigMap == nil {
			t.Fatal("want one volume, the ConfigMap's")
		}
		m, v := c.VolumeMounts[0], template.Spec.Volumes[0]
		if m.Name != v.Name || m.SubPath != "" || !m.ReadOnly || v.ConfigMap.Name != "gateway" {
			t.Errorf("mount %+v of %+v: want ConfigMap gateway, read-only, without subPath", m, v.ConfigMap)
		}
		if want := []string{"-config", m.MountPath + "/config.yaml"}; !slices.Equal(c.Args, want) {
			t.Errorf("arguments %q, want %q", c.Args, want)
		}
	})
}

// The share without Redis is never larger than the smallest cluster allows.
func TestMinMembersAreTheReplicas(t *testing.T) {
	base := build(t, "base")
	if got, want := base.config(t).Redis.Fallback.MinMembers, *base.deployments["gateway"].Spec.Replicas; got != want {
		t.Errorf("redis.fallback.min_members is %d with %d replicas", got, want)
	}
	production := build(t, "production")
	if got, want := production.config(t).Redis.Fallback.MinMembers, *production.autoscalers["gateway"].Spec.MinReplicas; got != want {
		t.Errorf("redis.fallback.min_members is %d with at least %d replicas", got, want)
	}
}

// make docker makes the image that the base names; the overlay names a release of it.
func TestImageIsWhatMakeDockerMakes(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, c := build(t, "base").pod(t)
	if !regexp.MustCompile(`(?m)^\tdocker build .* -t ` + regexp.QuoteMeta(c.Image) + `( |$)`).Match(makefile) {
		t.Errorf("make docker makes no image %s", c.Image)
	}
	name, _, _ := strings.Cut(c.Image, ":")
	_, c = build(t, "production").pod(t)
	if !regexp.MustCompile(`/` + regexp.QuoteMeta(name) + `:\d+\.\d+\.\d+$`).MatchString(c.Image) {
		t.Errorf("the overlay's image is %s, want a registry's %s with a version", c.Image, name)
	}
}

func is[T comparable](p *T, want T) bool { return p != nil && *p == want }

// environment is the container's, with references to the pod's address and to each other resolved.
func environment(c *corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "status.podIP" {
			value = "10.1.2.3"
		}
		for name, known := range env { // only those above it, as the kubelet does
			value = strings.ReplaceAll(value, "$("+name+")", known)
		}
		env[e.Name] = value
	}
	return env
}

func port(n int64) string { return strconv.FormatInt(n, 10) }
