"""The chart on a real API server: what the operator may do once installed, what goes on uninstall, and what stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.kubectl import Kubectl
from tests.apiserver import ApiServer
from tests.charts import helm
from tests.finetune_api.manifest_cases import job

pytestmark = pytest.mark.apiserver

OPERATOR = f"system:serviceaccount:{helm.NAMESPACE}:finetune-operator"
LEASE = "leases.coordination.k8s.io"


@pytest.fixture(scope="module")
def installed(apiserver: ApiServer) -> Iterator[Kubectl]:
    """kubectl in the namespace of a team, with the operator installed; its pod never runs here."""
    env = apiserver.kubectl.env
    # what is there was put there by kubectl
    notes = helm.run("install", "finetune-operator", str(helm.CHART), "--create-namespace", "--take-ownership", env=env)
    assert "watches all namespaces" in notes
    yield apiserver.in_namespace("team")
    helm.run("uninstall", "finetune-operator", env=env)


def can(kubectl: Kubectl, who: str, verb: str, resource: str, *more: str) -> bool:
    """Whether the API server would let `who` do it."""
    return kubectl.run("auth", "can-i", verb, resource, f"--as={who}", *more).stdout.strip() == "yes"


def test_the_operator_may_do_this_and_no_more(installed: Kubectl):
    rows = installed("auth", "can-i", "--list", f"--as={OPERATOR}", "--no-headers").splitlines()
    # what every service account may do (reviews of itself, discovery) is not the chart's
    everyone = f"--as=system:serviceaccount:{helm.NAMESPACE}:nobody"
    everyones = installed("auth", "can-i", "--list", everyone, "--no-headers").splitlines()
    assert {row.split()[0]: verbs(row) for row in rows if row not in everyones} == {
        "finetunejobs.finetune.dev": "delete get list watch",
        "finetunejobs.finetune.dev/status": "patch",
        "finetunejobs.finetune.dev/finalizers": "update",
        "jobs.batch": "create delete get list patch watch",
        "jobsets.jobset.x-k8s.io": "create delete get list patch watch",
        "configmaps": "create delete get list patch watch",
        "persistentvolumeclaims": "create delete get list patch watch",
        "pods": "get list watch",
        "nodes": "get list watch",
        "workloads.kueue.x-k8s.io": "get list patch watch",
        "events.events.k8s.io": "create patch",
    }


def verbs(row: str) -> str:
    """The last column of `can-i --list`, sorted."""
    return " ".join(sorted(row.rpartition("[")[2].rstrip("]").split()))


@pytest.mark.parametrize(
    ("verb", "resource", "more", "allowed"),
    [
        ("create", "jobs.batch", [], True),
        ("patch", "finetunejobs.finetune.dev", ["--subresource=status"], True),
        ("patch", "finetunejobs.finetune.dev", [], False),  # spec is the user's
        ("get", "secrets", [], False),
        ("list", "secrets", [], False),
        ("create", "pods", [], False),
        ("get", "pods", ["--subresource=proxy"], False),
        ("create", "pods", ["--subresource=exec"], False),
        ("create", "serviceaccounts", ["--subresource=token"], False),
        ("get", LEASE, [], False),
    ],
)
def test_the_operator_may(installed: Kubectl, verb: str, resource: str, more: list[str], allowed: bool):
    assert can(installed, OPERATOR, verb, resource, *more) == allowed


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("create", LEASE, True),
        ("get", f"{LEASE}/finetune-operator", True),
        ("update", f"{LEASE}/finetune-operator", True),
        ("delete", f"{LEASE}/finetune-operator", False),
        ("get", f"{LEASE}/another", False),
        ("update", f"{LEASE}/another", False),
        ("list", LEASE, False),
        ("get", "secrets", False),
        ("get", "configmaps", True),  # as in every namespace that it watches
    ],
)
def test_in_its_own_namespace_it_may(installed: Kubectl, verb: str, resource: str, allowed: bool):
    own = Kubectl(installed.env, helm.NAMESPACE)
    assert can(own, OPERATOR, verb, resource) == allowed


@pytest.mark.parametrize(("suffix", "verbs"), [("view", {"get"}), ("edit", {"create", "delete"})])
def test_users_get_roles(installed: Kubectl, suffix: str, verbs: set[str]):
    # no controller adds them up here: the roles are bound as they are
    role = f"finetune-operator-{suffix}"
    installed("create", "rolebinding", role, f"--clusterrole={role}", f"--user={suffix}")
    jobs = "finetunejobs.finetune.dev"
    assert {verb for verb in ("get", "create", "delete") if can(installed, suffix, verb, jobs)} == verbs
    assert not can(installed, suffix, "patch", jobs, "--subresource=status")


def test_watching_some_namespaces_gives_rights_in_them_alone(installed: Kubectl, apiserver: ApiServer):
    watched, other = apiserver.in_namespace("watched"), apiserver.in_namespace("other")
    values = {"settings": {"namespaces": ["watched"]}, "crds": {"install": False}}
    helm.run("install", "narrow", str(helm.CHART), values=values, env=installed.env)
    try:
        narrow = f"system:serviceaccount:{helm.NAMESPACE}:narrow-finetune-operator"
        assert can(watched, narrow, "create", "jobs.batch")
        assert not can(other, narrow, "create", "jobs.batch")
        assert can(other, narrow, "list", "nodes")
    finally:
        helm.run("uninstall", "narrow", env=installed.env)
    assert watched.list("role") == []


def test_uninstalling_loses_no_job(installed: Kubectl):
    installed("apply", "-f", "-", stdin=job(name="kept"))
    uid = installed("get", "ftj", "kept", "-o", "jsonpath={.metadata.uid}")
    helm.run("uninstall", "finetune-operator", env=installed.env)
    left = [kind for kind in ("clusterrole", "clusterrolebinding") if _ours(installed, kind)]
    assert left == []
    assert installed("get", "ftj", "kept", "-o", "jsonpath={.metadata.uid}") == uid
    # and back again, with what was kept
    helm.run("install", "finetune-operator", str(helm.CHART), env=installed.env)
    assert installed("get", "ftj", "kept", "-o", "jsonpath={.metadata.uid}") == uid


def test_an_upgrade_brings_the_definition(installed: Kubectl):
    columns = "-o=jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}"
    crd = ("crd", "finetunejobs.finetune.dev")
    before = installed("get", *crd, columns)
    path = "/spec/versions/0/additionalPrinterColumns/0"
    installed("patch", *crd, "--type=json", "-p", f'[{{"op": "remove", "path": "{path}"}}]')
    assert installed("get", *crd, columns) != before
    helm.run("upgrade", "finetune-operator", str(helm.CHART), env=installed.env)
    assert installed("get", *crd, columns) == before


def _ours(kubectl: Kubectl, kind: str) -> list[str]:
    return [each["metadata"]["name"] for each in kubectl.list(kind, "app.kubernetes.io/name=finetune-operator")]
