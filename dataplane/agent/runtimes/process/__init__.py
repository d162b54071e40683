"""
Attempts as local processes.

Three programs share an attempt's directory (``directory``): the agent (``runtime``), a
shim per attempt that keeps the task's process and outlives the agent (``shim``), and one
zygote with the SDK's modules imported, of which shims are forked (``zygote``; the
agent's side of it is ``spawner``). The shim and the zygote import the standard library
and their neighbours here, nothing else. Linux only.
"""
