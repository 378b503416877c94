"""Names, labels and paths that operator, trainer and users meet again. One list, one place."""

from finetune_api import GROUP

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "finetune-operator"
JOB_NAME_LABEL = f"{GROUP}/job-name"
JOB_UID_LABEL = f"{GROUP}/job-uid"
ATTEMPT_LABEL = f"{GROUP}/attempt"
ACCELERATOR_LABEL = f"{GROUP}/accelerator"
KUEUE_LABEL = "kueue.x-k8s.io/queue-name"

TRAINER_PORT = 8090
WORK_DIR = "/work"
CONFIG_DIR = "/etc/finetune"
CONFIG_FILE = f"{CONFIG_DIR}/config.json"
SOURCES_DIR = "/sources"
DESTINATIONS_DIR = "/destinations"
# Under the work directory.
OUTPUT_DIR = "output"
CHECKPOINT_DIR = "checkpoints"


def attempt_name(job: str, number: int) -> str:
    """Of the attempt's Job and ConfigMap."""
    return f"{job}-a{number}"


def inspect_name(job: str) -> str:
    """Of the Job and ConfigMap that read the inputs before the first attempt."""
    return f"{job}-inspect"


def work_claim_name(job: str) -> str:
    """Of the PVC that holds checkpoints and outputs of all attempts."""
    return f"{job}-work"
