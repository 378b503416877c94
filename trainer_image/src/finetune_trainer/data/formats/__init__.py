"""The shapes that rows come in, one file each, and how the shape is told from the first row."""

from finetune_trainer.data.formats.detect import FORMATS, choose
from finetune_trainer.data.formats.shape import Format

__all__ = ["FORMATS", "Format", "choose"]
