"""The places that a job's result goes to, as text that is equal where the place is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def destinations(job: Mapping[str, Any]) -> list[str]:
    """Of a FineTuneJob as the API server gives it. How one logs in there makes no difference."""
    output = job.get("spec", {}).get("output") or {}
    return [text for given in output.get("destinations") or [] if (text := _address(given)) is not None]


def _address(destination: Mapping[str, Any]) -> str | None:
    match destination:
        case {"pvc": {"claimName": claim, "path": path}}:
            return f"pvc://{claim}/{path}"
        case {"s3": {"uri": str(uri)}}:
            return uri.rstrip("/")
        case {"oci": {"reference": reference}}:
            return f"oci://{reference}"
        case {"hub": {"repository": repository}}:
            return f"hf://{repository}"
    return None
