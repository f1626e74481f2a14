// Package kubernetes checks deploy/kubernetes: both builds by kustomize, against the types of the
// Kubernetes API, the gateway's configuration and the gateway itself. It is a module of its own, since the
// gateway's needs none of these libraries.
package kubernetes
