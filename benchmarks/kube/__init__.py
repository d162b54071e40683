"""
Measures the agent on Kubernetes: pod creation latency, throughput, CPU and memory.

It runs on a real API server with its controllers. The kubelet is a stub that completes every
pod at once, or leaves it running, so only the agent and the API server are measured. All
share the machine. ``python -m benchmarks.kube --help`` lists the options.
"""
