"""localhost:5000 of this machine, led to the registry in the node.

The registry listens in the node's own network, where localhost:5000 is its name as well; so one image reference
holds here, for pushing, and in the node, for pulling.
"""

from e2e.cluster import controlplane
from e2e.cluster.layout import NODE_IP, REGISTRY_PORT, Layout
from e2e.cluster.process import Process

LOOPBACK = "127.0.0.1"  # not all addresses: the registry asks nobody for a password


def process(where: Layout) -> Process:
    return Process(where.log, "registry-port")


def open_on_host(where: Layout) -> None:
    if process(where).pid() is not None:
        return
    controlplane.require_free(LOOPBACK, (REGISTRY_PORT,))
    listen = f"TCP-LISTEN:{REGISTRY_PORT},bind={LOOPBACK},fork,reuseaddr"
    process(where).start(["socat", "-b", "262144", listen, f"TCP:{NODE_IP}:{REGISTRY_PORT}"], cwd=where.run)
