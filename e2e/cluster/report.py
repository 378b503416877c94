"""What `status` says."""

from e2e.cluster import api, components, gpus, network, node, registry_port, runtime
from e2e.cluster.down import leftovers
from e2e.cluster.layout import NODE_NAME, REGISTRY, Layout
from e2e.cluster.up import plane


def status(where: Layout) -> int:
    """Prints it; 0 if everything runs, else 1."""
    here = plane(where)
    processes = [node.holder(where), here.etcd, here.apiserver, runtime.process(where)]
    processes += [components.process(where, name) for name in components.names()]
    processes.append(registry_port.process(where))
    pids = {process.name: process.pid() for process in processes}
    if not any(pids.values()):
        left = leftovers(where)
        print("down; nothing is left on this machine" if not left else "down, but these are left:\n" + "\n".join(left))
        return 1
    for name, pid in pids.items():
        print(f"{name:25} {f'pid {pid}' if pid else 'NOT RUNNING; `up` starts it'}")
    answers = here.kubeconfig.exists() and api.ready(here.kubeconfig)
    ready = answers and api.node_ready(here.kubeconfig, NODE_NAME)
    pretended = gpus.wanted(where)
    print(f"{'API server':25} {here.server} {'ready' if answers else 'NOT READY'}")
    print(f"{'node':25} {NODE_NAME} {'ready' if ready else 'NOT READY'}")
    print(f"{'GPUs':25} {f'{pretended.count} x {pretended.kind}, pretended' if pretended else 'none'}")
    print(f"{'link':25} {'up' if network.link() else 'MISSING'}")
    print(f"{'kubeconfig':25} {where.kubeconfig}")
    print(f"{'registry':25} {REGISTRY} here and in image references, registry.kube-system.svc:5000 in pods")
    print(f"{'audit log':25} {where.audit_log}")
    print(f"{'logs':25} {where.log}")
    return 0 if all(pids.values()) and ready else 1
