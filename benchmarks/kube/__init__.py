"""
What a cluster's agent does with pods: how soon it makes them, how many, at what price.

On a real API server with its controllers; the kubelet is a few lines of ours that find
every pod done at once, or leave it running, so that what is measured is the agent's and the
API server's. All share the machine. ``python -m benchmarks.kube --help`` lists the knobs.
"""
