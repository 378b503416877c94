"""The batch/v1 Job of one attempt: one pod at a time, replaced when it is interrupted, never when it fails."""

from __future__ import annotations

from finetune_api.contract import EXIT_CODES, TRAINER_CONTAINER, Outcome
from finetune_api.job import FineTuneJob
from finetune_api.status import Sizing
from finetune_operator.children.metadata import Manifest, of_attempt
from finetune_operator.children.pod import pod_template
from finetune_operator.settings import TrainerSettings
from finetune_operator.sizing.hardware import Hardware

INTERRUPTED = EXIT_CODES[Outcome.INTERRUPTED]

# In this order: the first rule that matches decides. Any other exit code fails the Job at once, whose message then
# keeps the code even when the pod is gone.
POD_FAILURE_POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "Ignore",
            "onExitCodes": {"containerName": TRAINER_CONTAINER, "operator": "In", "values": [INTERRUPTED]},
        },
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": TRAINER_CONTAINER, "operator": "NotIn", "values": [INTERRUPTED]},
        },
    ]
}


def attempt_job(
    job: FineTuneJob, *, attempt: int, hardware: Hardware, sizing: Sizing, settings: TrainerSettings
) -> Manifest:
    """One attempt.

    It has no activeDeadlineSeconds: the API server would count each attempt and each time after a suspension anew,
    and would kill without telling the trainer's container apart. The operator ends a job that takes too long.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": of_attempt(job, attempt, sizing=sizing),
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            # Without it a suspended and resumed Job starts a pod while the last one still writes its checkpoint.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": POD_FAILURE_POLICY,
            "template": pod_template(job, attempt=attempt, hardware=hardware, sizing=sizing, settings=settings),
        },
    }
