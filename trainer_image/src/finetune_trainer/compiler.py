"""Triton compiles its kernels when they are first used, and for that it needs a C compiler in the image."""

from __future__ import annotations

import logging
import os
import shutil

from trl.kernels import chunked_logprob

from finetune_trainer.settings import Device

log = logging.getLogger(__name__)


def do_without(device: Device) -> None:
    """Where there is no compiler, let TRL compute the loss with torch's own kernels instead of failing at step 1."""
    if device.kind != "cuda" or os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"):
        return
    log.warning("no C compiler for Triton: the loss is computed with torch's own kernels, which takes a little longer")
    chunked_logprob._TRITON_AVAILABLE = False
