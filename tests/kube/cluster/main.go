// Command cluster is a whole Kubernetes in one file, for tests: its first argument says
// which of Kubernetes' programs to be, and the rest are that program's own.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var programs = []struct {
	name string
	run  func() int
}{
	{"etcd", func() int { etcdmain.Main(os.Args); return 0 }},
	{"kubectl", func() int { return cli.Run(kubectl.NewDefaultKubectlCommand()) }},
	{"kube-apiserver", func() int { return cli.Run(apiserver.NewAPIServerCommand()) }},
	{"kube-controller-manager", func() int { return cli.Run(controllers.NewControllerManagerCommand()) }},
	{"kube-proxy", func() int { return cli.Run(proxy.NewProxyCommand()) }},
	{"kube-scheduler", func() int { return cli.Run(scheduler.NewSchedulerCommand()) }},
	{"kubelet", func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) }},
}

func main() {
	os.Args = os.Args[1:] // where each program looks for its own name and flags
	var names []string
	for _, program := range programs {
		if len(os.Args) > 0 && os.Args[0] == program.name {
			os.Exit(program.run())
		}
		names = append(names, program.name)
	}
	fmt.Fprintf(os.Stderr, "usage: cluster {%s} [flag...]\n", strings.Join(names, "|"))
	os.Exit(2)
}
