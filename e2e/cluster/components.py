"""What runs in the node beside the control plane and containerd: one entry each, in the order of starting."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from e2e.cluster import network, pki, runtime
from e2e.cluster.layout import (
    API_PORT,
    DNS_SERVICE_IP,
    NODE_IP,
    NODE_NAME,
    POD_CIDR,
    REGISTRY_PORT,
    Layout,
)
from e2e.cluster.process import Process

STORAGE_NAMESPACE = "local-path-storage"
DNS_DOMAIN = "cluster.local"

IDENTITIES = {
    "admin": pki.Identity("admin", "system:masters"),
    "controller-manager": pki.Identity("system:kube-controller-manager"),
    "scheduler": pki.Identity("system:kube-scheduler"),
    "proxy": pki.Identity("system:kube-proxy"),
    "kubelet": pki.Identity(f"system:node:{NODE_NAME}", "system:nodes", serves=(NODE_NAME, NODE_IP)),
    # These two would be pods with accounts of their own in a cluster that is not thrown away.
    "coredns": pki.Identity("coredns", "system:masters"),
    "local-path": pki.Identity("local-path-provisioner", "system:masters"),
}

APISERVER_FLAGS = (
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    f"--advertise-address={NODE_IP}",
    "--kubelet-preferred-address-types=InternalIP",
)


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def kubelet_client_flags(where: Layout) -> tuple[str, ...]:
    """How the API server reaches the kubelet, for logs, exec and port-forward."""
    return (
        f"--kubelet-client-certificate={where.pki / 'admin.crt'}",
        f"--kubelet-client-key={where.pki / 'admin.key'}",
        f"--kubelet-certificate-authority={where.pki / 'ca.crt'}",
    )


def names() -> list[str]:
    return [
        "kube-controller-manager",
        "kube-scheduler",
        "registry",
        "kubelet",
        "kube-proxy",
        "coredns",
        "local-path-provisioner",
    ]


def process(where: Layout, name: str) -> Process:
    return Process(where.log, name)


def all_of(where: Layout) -> Iterator[Component]:
    """The commands, with the configuration files that they read written first."""
    server = f"https://{NODE_IP}:{API_PORT}"
    config = {name: str(pki.kubeconfig(where.pki, name, server)) for name in IDENTITIES}
    yield Component(
        "kube-controller-manager",
        (
            f"--kubeconfig={config['controller-manager']}",
            f"--service-account-private-key-file={where.pki / 'sa.key'}",
            f"--root-ca-file={where.pki / 'ca.crt'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
        ),
    )
    yield Component("kube-scheduler", (f"--kubeconfig={config['scheduler']}", "--leader-elect=false"))
    yield Component("registry", ("serve", _registry_config(where)), {"OTEL_TRACES_EXPORTER": "none"})
    yield Component(
        "kubelet",
        (
            f"--config={_kubelet_config(where)}",
            f"--kubeconfig={config['kubelet']}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_IP}",
            f"--root-dir={where.run / 'kubelet'}",
        ),
    )
    yield Component(
        "kube-proxy",
        (
            f"--kubeconfig={config['proxy']}",
            f"--cluster-cidr={POD_CIDR}",
            "--proxy-mode=iptables",
            f"--hostname-override={NODE_NAME}",
            # Connection tracking's limits belong to the machine; inside its own network the node may not set them.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ),
    )
    yield Component("coredns", ("-conf", _corefile(where, config["coredns"])))
    yield Component(
        "local-path-provisioner",
        (
            "start",
            f"--kubeconfig={config['local-path']}",
            f"--config={_storage_config(where)}",
            f"--helper-pod-file={_helper_pod(where)}",
            f"--helper-image={runtime.node_image_name(where)}",
            f"--namespace={STORAGE_NAMESPACE}",
            "--service-account-name=default",
        ),
    )


def _write(where: Layout, name: str, content: object) -> str:
    path = where.run / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return str(path)


def _kubelet_config(where: Layout) -> str:
    return _write(
        where,
        "kubelet.yaml",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(where.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "failSwapOn": False,
            "failCgroupV1": False,
            "containerRuntimeEndpoint": f"unix://{where.containerd_socket}",
            "clusterDNS": [DNS_SERVICE_IP],
            "clusterDomain": DNS_DOMAIN,
            "resolvConf": _write(where, "resolv.conf", "".join(f"nameserver {r}\n" for r in network.resolvers())),
            "tlsCertFile": str(where.pki / "kubelet.crt"),
            "tlsPrivateKeyFile": str(where.pki / "kubelet.key"),
            "podLogsDir": str(where.log / "pods"),
            "enforceNodeAllocatable": [],
            # A disk that is full for other reasons must not make the node evict what is tested.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "24h",
            "serializeImagePulls": False,
        },
    )


def _registry_config(where: Layout) -> str:
    return _write(
        where,
        "registry.yaml",
        {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(where.registry)},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
            },
            # All of the node's addresses, none of the machine's.
            "http": {"addr": f":{REGISTRY_PORT}"},
        },
    )


def _corefile(where: Layout, kubeconfig: str) -> str:
    resolvers = " ".join(network.resolvers())
    forward = f"  forward . {resolvers}\n" if resolvers else ""
    return _write(
        where,
        "Corefile",
        f""".:53 {{
  errors
  health 127.0.0.1:8181
  kubernetes {DNS_DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 5
  }}
{forward}  cache 5
}}
""",
    )


def _storage_config(where: Layout) -> str:
    return _write(
        where,
        "storage.json",
        {
            "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(where.run / "volumes")]}],
            "setupCommand": "/volume",
            "teardownCommand": "/volume",
        },
    )


def _helper_pod(where: Layout) -> str:
    container = {
        "name": "volume",
        "image": runtime.node_image_name(where),
        "imagePullPolicy": "Never",
        "securityContext": {"runAsUser": 0},  # the volumes' folder is root's
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "volume"}, "spec": {"containers": [container]}}
    return _write(where, "helper-pod.yaml", pod)
