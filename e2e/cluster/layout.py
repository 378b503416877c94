"""Where everything lives: one cache folder outside the tree, and the addresses of the cluster.

Only `run` is state of a running cluster; everything else is rebuilt when absent and survives `down`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "local"
NODE_IP = "10.89.0.1"
HOST_IP = "10.89.0.254"  # this machine, as the node and its pods reach it
NODE_CIDR = "10.89.0.0/24"
POD_CIDR = "10.88.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
HOST_LINK = "finetune0"
API_PORT = 6443
REGISTRY_PORT = 5000
REGISTRY = f"localhost:{REGISTRY_PORT}"  # the same name on this machine and in image references of pods


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the cache folder."""

    cache: Path

    @property
    def bin(self) -> Path:
        return self.cache / "bin"

    @property
    def path(self) -> Path:
        """Links to the binaries in use: what goes on PATH."""
        return self.bin / "current"

    @property
    def locks(self) -> Path:
        return self.cache / "locks"

    @property
    def containerd(self) -> Path:
        return self.cache / "containerd"

    @property
    def registry(self) -> Path:
        return self.cache / "registry"

    @property
    def buildah(self) -> Path:
        return self.cache / "buildah"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def uv(self) -> Path:
        return self.cache / "uv"

    @property
    def run(self) -> Path:
        return self.cache / "run"

    @property
    def log(self) -> Path:
        return self.run / "log"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "pki" / "admin.conf"

    @property
    def audit_log(self) -> Path:
        return self.log / "audit.log"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd" / "containerd.sock"


def layout() -> Layout:
    """The layout under $FINETUNE_CACHE, or under the user's cache folder."""
    named = os.environ.get("FINETUNE_CACHE")
    return Layout(Path(named).resolve() if named else Path.home() / ".cache" / "finetune-operator")
