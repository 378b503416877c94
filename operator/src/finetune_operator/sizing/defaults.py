"""What a field of spec is when it is left out. The docstrings of finetune_api.spec promise these values to users."""

from finetune_api.schema import Optimizer, Scheduler

EPOCHS = 3.0
LEARNING_RATE_ADAPTER = 2e-4
LEARNING_RATE_FULL = 2e-5
EFFECTIVE_BATCH_SIZE = 16
"""Examples per optimizer step."""
PACKING = True
SCHEDULER: Scheduler = "cosine"
WARMUP_RATIO = 0.03
OPTIMIZER: Optimizer = "adamw"
WEIGHT_DECAY = 0.0
MAX_GRAD_NORM = 1.0
SEED = 42

RANK = 16
ALPHA_PER_RANK = 2.0
DROPOUT = 0.05
TARGET_MODULES = ("all-linear",)

CHECKPOINT_INTERVAL_SECONDS = 600
CHECKPOINTS_KEPT = 2
MAX_ATTEMPTS = 4
