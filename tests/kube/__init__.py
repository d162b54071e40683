"""
A real Kubernetes for tests: its own programs, linked into one file, started in seconds.

* ``binary``: build that file, once for each version.
* ``certificates``, ``programs``: what they identify each other by; starting and stopping them.
* ``controlplane``: etcd, API server, controllers, scheduler on free ports of loopback.
* ``images``: container images made of the Python that runs the tests; no registry.
* ``node``: containerd, kubelet and proxy in namespaces of their own.
* ``client``: the Kubernetes API as a test asks it: JSON over HTTPS.

The fixtures are in ``tests/servers/kubernetes.py``; docs/kubernetes-tests.md tells how.
"""
