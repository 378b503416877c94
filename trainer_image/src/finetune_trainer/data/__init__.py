"""From rows to token ids and labels, in the form that the trainer takes without touching them again.

Row (`readers`) -> Example (`formats`) -> Draft (`template`) -> Tokens (`encode`) -> packs (`packing`) -> Arrow
(`store`).
"""

from finetune_trainer.data.prepare import Prepared, prepare
from finetune_trainer.data.report import Counts

__all__ = ["Counts", "Prepared", "prepare"]
