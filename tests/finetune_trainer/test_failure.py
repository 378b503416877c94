"""Exception -> outcome, reason, sentence."""

from __future__ import annotations

import errno

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure, from_exception

OOM = Outcome.OUT_OF_GPU_MEMORY


class OutOfMemoryError(RuntimeError):
    """As torch's."""


def hub(kind: type[Exception], text: str) -> Exception:
    error = kind.__new__(kind)
    error.args = (text,)
    return error


def caused(inner: BaseException) -> Exception:
    """As libraries wrap what they met."""
    try:
        raise ValueError("it did not work") from inner
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "outcome", "says"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), OOM, "20.00 MiB"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), OOM, "CUBLAS"),
        (RuntimeError("CUDA driver error: out of memory"), OOM, "driver"),
        (RuntimeError("expandable_segments: memory mapping failed with OOM on device 0"), OOM, "mapping"),
        (RuntimeError("ncclUnhandledCudaError\nLast error:\nCuda failure 2 'out of memory'"), OOM, "nccl"),
        (RuntimeError("Last error:\nCuda failure 'out of memory'"), OOM, "microBatchSize"),
        (RuntimeError("Last error:\nCuda failure 1 'invalid argument'"), Outcome.INTERNAL, "invalid argument"),
        (RuntimeError("CUDA driver error: operation not supported"), Outcome.BAD_CONFIG, "expandable_segments:False"),
        (RuntimeError("Triton Error [CUDA]: out of memory"), OOM, "Triton"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"), OOM, "cublasCreate"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), OOM, "cuDNN"),
        (caused(OutOfMemoryError("CUDA out of memory.")), OOM, "microBatchSize"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), Outcome.TRANSIENT, "resources.memory"),
        (MemoryError(), Outcome.TRANSIENT, "resources.memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/work/x"), Outcome.BAD_CONFIG, "/work/x; give storage.size"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Outcome.BAD_CONFIG, "storage.size"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file"), Outcome.BAD_CONFIG, "storage.size"),
        (hub(GatedRepoError, "Access to model a/b is restricted."), Outcome.PERMISSION, "tokenSecretRef"),
        (hub(RepositoryNotFoundError, "404 Client Error."), Outcome.NOT_FOUND, "check source"),
        (hub(RevisionNotFoundError, "Revision x not found"), Outcome.NOT_FOUND, "revision"),
        (ConnectionError("no route"), Outcome.UNAVAILABLE, "no route"),
        (KeyboardInterrupt(), Outcome.INTERRUPTED, "SIGTERM"),
        (caused(Failure(Outcome.BAD_DATA, "Rows", "row 3")), Outcome.BAD_DATA, "row 3"),
        (KeyError("surprise"), Outcome.INTERNAL, "KeyError: 'surprise'"),
    ],
)
def test_from_exception(error: BaseException, outcome: Outcome, says: str) -> None:
    failure = from_exception(error)
    assert failure.outcome is outcome
    assert says in failure.message
    assert failure.reason.isalnum()


def test_the_last_frame_is_named() -> None:
    with pytest.raises(KeyError) as caught:
        {}["nothing"]
    message = from_exception(caught.value).message
    assert "test_failure.py:" in message
    assert "in test_the_last_frame_is_named" in message


def test_no_token_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "not-shaped-like-a-token")
    text = "401 for not-shaped-like-a-token, hf_abcdefghijklmnopqrstuvwx and https://user:pass@host/path"
    message = from_exception(RuntimeError(text)).message
    assert "not-shaped" not in message
    assert "hf_abc" not in message
    assert "pass@" not in message
    assert "@host/path" in message


def test_a_message_fits_the_contract() -> None:
    assert len(from_exception(RuntimeError("x" * 10_000)).message) == 1500
