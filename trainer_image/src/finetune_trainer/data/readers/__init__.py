"""From files to rows, one file per kind; nothing holds a whole JSONL, CSV or Parquet file in memory."""

from finetune_trainer.data.readers.files import KINDS, beside, data_files, read

__all__ = ["KINDS", "beside", "data_files", "read"]
