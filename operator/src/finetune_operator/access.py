"""How the API server is reached and who the operator is there: a kubeconfig, or the pod's service account."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration


class AccessError(RuntimeError):
    """There is no way to the API server; the text says where one was looked for."""


@dataclass(frozen=True, slots=True)
class Access:
    """One reading of the credentials. Tokens change while the operator runs: read again after a 401."""

    server: str
    ca_file: str | None
    certificate_file: str | None
    key_file: str | None
    authorization: str | None
    verify: bool

    def ssl_context(self) -> ssl.SSLContext:
        """For an HTTPS connection to the server."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


async def read(kubeconfig: Path | None) -> Access:
    """Read the kubeconfig, or without one what Kubernetes mounts into every pod.

    Raises:
        AccessError: the file is missing or unusable, or this is not a pod.
    """
    found: Any = Configuration()
    try:
        if kubeconfig is not None:
            await config.load_kube_config(config_file=str(kubeconfig), client_configuration=found, persist_config=False)
        else:
            config.load_incluster_config(client_configuration=found)
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "service account of this pod (or give --kubeconfig)"
        raise AccessError(f"{where}: {error}") from error
    except (TypeError, AttributeError) as error:  # it takes for granted that the file holds a mapping
        raise AccessError(f"kubeconfig {kubeconfig}: holds no configuration: {error}") from error
    token = await found.get_api_key_with_prefix("BearerToken")
    return Access(
        server=str(found.host).rstrip("/"),
        ca_file=found.ssl_ca_cert,
        certificate_file=found.cert_file,
        key_file=found.key_file,
        authorization=_capitalised(token) if token else None,
        verify=bool(found.verify_ssl),
    )


def _capitalised(token: str) -> str:
    scheme, _, rest = token.strip().partition(" ")
    return f"{scheme.capitalize()} {rest.strip()}"
