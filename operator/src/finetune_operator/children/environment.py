"""Environment of the trainer's container. Secrets come in by reference only; no value of one passes through here."""

from __future__ import annotations

from math import ceil
from typing import Any

from finetune_api.contract import CONFIG_ENV, DATASET_TOKEN_ENV, MODEL_TOKEN_ENV
from finetune_api.job import FineTuneJob
from finetune_api.names import CONFIG_FILE, WORK_DIR
from finetune_api.schema import Quantity, SecretKey
from finetune_api.spec.pod import EnvVar
from finetune_operator.sizing.quantity import amount


def environment(job: FineTuneJob, *, cpu: Quantity, extra: dict[str, str]) -> list[dict[str, Any]]:
    """Defaults, the operator's setting `extra`, the job's own, and what the contract needs: the later wins."""
    own = (job.spec.pod_template.env if job.spec.pod_template else None) or []
    given = _defaults(cpu) | extra
    plain = {name: _plain(name, value) for name, value in given.items()} | {var.name: _given(var) for var in own}
    return list((plain | _contract(job)).values())


def _defaults(cpu: Quantity) -> dict[str, str]:
    return {
        "XDG_CACHE_HOME": f"{WORK_DIR}/cache",
        # Else each library starts a thread per core of the node, however little of it the pod was given.
        "OMP_NUM_THREADS": str(max(1, ceil(amount(cpu)))),
    }


def _contract(job: FineTuneJob) -> dict[str, dict[str, Any]]:
    # The root file system is read-only, and what is downloaded is worth keeping: caches live in the work directory.
    plain = {CONFIG_ENV: CONFIG_FILE, "HOME": f"{WORK_DIR}/home", "HF_HOME": f"{WORK_DIR}/cache/huggingface"}
    found = {name: _plain(name, value) for name, value in plain.items()}
    model, data = job.spec.model.token_secret_ref, job.spec.dataset.train.token_secret_ref
    if model is not None:
        found[MODEL_TOKEN_ENV] = _secret(MODEL_TOKEN_ENV, model)
    if data is not None and data != model:
        found[DATASET_TOKEN_ENV] = _secret(DATASET_TOKEN_ENV, data)
    return found


def _given(var: EnvVar) -> dict[str, Any]:
    if var.value_from is not None:
        return _secret(var.name, var.value_from.secret_key_ref)
    return _plain(var.name, var.value or "")


def _plain(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def _secret(name: str, key: SecretKey) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}
