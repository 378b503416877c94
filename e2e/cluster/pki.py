"""The cluster's certificates and kubeconfigs. Elliptic keys: the whole set takes under a second."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import shell

DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for: the user and group that the API server sees, and the names that it may serve as."""

    user: str
    group: str | None = None
    serves: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"/O={self.group}/CN={self.user}" if self.group else f"/CN={self.user}"


def create(folder: Path, identities: Mapping[str, Identity]) -> None:
    """A CA, a key pair for service account tokens, and a certificate for each identity that has none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = folder / "ca.crt"
    if not authority.exists():
        _key(folder / "ca.key")
        _openssl(
            folder,
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-subj",
            "/CN=kubernetes-ca",
            "-days",
            DAYS,
            "-out",
            "ca.new",
        )
        (folder / "ca.new").rename(authority)
    if not (folder / "sa.pub").exists():
        _key(folder / "sa.key")
        _openssl(folder, "pkey", "-in", "sa.key", "-pubout", "-out", "sa.new")
        (folder / "sa.new").rename(folder / "sa.pub")
    for name, identity in identities.items():
        if not (folder / f"{name}.crt").exists():
            _certificate(folder, name, identity)


def kubeconfig(folder: Path, name: str, server: str) -> Path:
    """NAME.conf beside the certificates, whole in itself so that it can be copied anywhere."""

    def embedded(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    text = json.dumps(  # JSON is YAML, and the standard library writes it
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "finetune", "cluster": {"server": server, "certificate-authority-data": embedded("ca.crt")}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": embedded(f"{name}.crt"),
                        "client-key-data": embedded(f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": "finetune", "context": {"cluster": "finetune", "user": name}}],
            "current-context": "finetune",
        },
        indent=1,
    )
    path = folder / f"{name}.conf"
    if not path.exists() or path.read_text() != text:
        new = folder / f"{name}.conf.new"
        new.touch(mode=0o600)
        new.write_text(text)
        new.rename(path)
    return path


def _certificate(folder: Path, name: str, identity: Identity) -> None:
    _key(folder / f"{name}.key")
    extensions = ["keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    if identity.serves:
        kinds = (("IP" if part.replace(".", "").isdigit() else "DNS") + f":{part}" for part in identity.serves)
        extensions.append(f"subjectAltName={','.join(kinds)}")
    (folder / f"{name}.ext").write_text("\n".join(extensions) + "\n")
    _openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", identity.subject, "-out", f"{name}.csr")
    # A serial of its own and no serial file: two certificates are never made with the same one.
    serial = f"0x{os.urandom(16).hex()}"
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", serial, "-days", DAYS, "-extfile", f"{name}.ext")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.new")
    (folder / f"{name}.new").rename(folder / f"{name}.crt")


def _key(path: Path) -> None:
    _openssl(path.parent, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path.name)
    path.chmod(0o600)


def _openssl(folder: Path, *arguments: str) -> None:
    shell.run(["openssl", *arguments], why=f"make certificates in {folder}", cwd=folder)
