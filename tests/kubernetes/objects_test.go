package kubernetes

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const manifests = "../../deploy/kubernetes/"

// objects is what kustomize builds, by kind and name.
type objects struct {
	deployments map[string]*appsv1.Deployment
	services    map[string]*corev1.Service
	configs     map[string]*corev1.ConfigMap
	secrets     map[string]*corev1.Secret
	budgets     map[string]*policyv1.PodDisruptionBudget
	policies    map[string]*networkingv1.NetworkPolicy
	autoscalers map[string]*autoscalingv2.HorizontalPodAutoscaler
	namespaces  map[string]*corev1.Namespace
	homes       []string // "Kind/name namespace" of everything
}

// build runs kustomize on a folder of deploy/kubernetes and decodes strictly: a field that the API
// does not know is a fault.
func build(t *testing.T, folder string) *objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), manifests+folder)
	if err != nil {
		t.Fatalf("kustomize cannot build %s: %v", folder, err)
	}
	var o objects
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err == nil {
			err = o.add(r.GetApiVersion()+" "+r.GetKind(), r.GetName(), text)
		}
		if err != nil {
			t.Fatalf("%s: %s %s: %v", folder, r.GetKind(), r.GetName(), err)
		}
		o.homes = append(o.homes, r.GetKind()+"/"+r.GetName()+" "+r.GetNamespace())
	}
	return &o
}

func (o *objects) add(kind, name string, text []byte) error {
	switch kind {
	case "apps/v1 Deployment":
		return decode(&o.deployments, name, text)
	case "v1 Service":
		return decode(&o.services, name, text)
	case "v1 ConfigMap":
		return decode(&o.configs, name, text)
	case "v1 Secret":
		return decode(&o.secrets, name, text)
	case "policy/v1 PodDisruptionBudget":
		return decode(&o.budgets, name, text)
	case "networking.k8s.io/v1 NetworkPolicy":
		return decode(&o.policies, name, text)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return decode(&o.autoscalers, name, text)
	case "v1 Namespace":
		return decode(&o.namespaces, name, text)
	}
	return fmt.Errorf("%s is not expected here", kind)
}

func decode[T any](into *map[string]*T, name string, text []byte) error {
	object := new(T)
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	// The API server's decoder: unlike encoding/json it tells a from A.
	faults, err := json.UnmarshalStrict(asJSON, object)
	if err := errors.Join(append(faults, err)...); err != nil {
		return err
	}
	if *into == nil {
		*into = map[string]*T{}
	}
	(*into)[name] = object
	return nil
}

// pod is the Deployment's pod and its one container.
func (o *objects) pod(t *testing.T) (*corev1.PodTemplateSpec, *corev1.Container) {
	t.Helper()
	d := o.deployments["gateway"]
	if d == nil || len(d.Spec.Template.Spec.Containers) != 1 || len(d.Spec.Template.Spec.InitContainers) != 0 {
		t.Fatal("want a Deployment gateway with one container")
	}
	return &d.Spec.Template, &d.Spec.Template.Spec.Containers[0]
}

// bothBuilds runs f on the base and on the overlay.
func bothBuilds(t *testing.T, f func(t *testing.T, o *objects)) {
	t.Helper()
	for _, folder := range []string{"base", "production"} {
		t.Run(folder, func(t *testing.T) { f(t, build(t, folder)) })
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	var o objects
	good := "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {a: b}}"
	if err := o.add("v1 Service", "a", []byte(good)); err != nil {
		t.Error(err)
	}
	for _, field := range []string{"selectors", "Selector"} {
		if err := o.add("v1 Service", "a", []byte(strings.Replace(good, "selector", field, 1))); err == nil {
			t.Errorf("spec.%s is taken for a field of a Service", field)
		}
	}
	if err := o.add("v1 Pod", "a", nil); err == nil {
		t.Error("a kind that no test looks at is taken")
	}
}
