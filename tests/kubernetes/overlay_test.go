package kubernetes

import (
	"strings"
	"testing"
)

// The overlay lives in its namespace, leaves the Secret to others and the number of pods to the
// autoscaler.
func TestOverlay(t *testing.T) {
	o := build(t, "production")
	for _, home := range o.homes {
		if !strings.HasPrefix(home, "Namespace/") && !strings.HasSuffix(home, " gateway") {
			t.Errorf("%s is not in the namespace", home)
		}
	}
	if ns := o.namespaces["gateway"]; ns == nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("want a namespace gateway that enforces the restricted standard, got %+v", ns)
	}
	if len(o.secrets) != 0 {
		t.Error("the overlay would write placeholders over the real Secret")
	}
	if n := o.deployments["gateway"].Spec.Replicas; n != nil {
		t.Errorf("the Deployment says %d replicas, against the autoscaler", *n)
	}
	a := o.autoscalers["gateway"]
	if a == nil || a.Spec.MinReplicas == nil || a.Spec.MaxReplicas <= *a.Spec.MinReplicas {
		t.Fatalf("want an autoscaler with room, got %+v", a)
	}
	if b := o.budgets["gateway"].Spec.MaxUnavailable; b == nil || b.IntValue() < 1 || b.IntValue() >= int(*a.Spec.MinReplicas) {
		t.Errorf("the disruption budget allows %v of %d pods to go", b, *a.Spec.MinReplicas)
	}
}
