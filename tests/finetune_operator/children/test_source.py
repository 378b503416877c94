"""URIs of models and data."""

from __future__ import annotations

import pytest

from finetune_operator.children.source import Claim, File, Hub, Remote, Source, SourceError, parse


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("hf://org/model", Hub("org/model")),
        ("hf://gpt2", Hub("gpt2")),
        ("pvc://models/llama/8b", Claim("models", "llama/8b")),
        ("pvc://models", Claim("models", "")),
        ("pvc://models/", Claim("models", "")),
        ("pvc://models//a/./b/", Claim("models", "a/b")),
        ("pvc://team.models-1/été/x", Claim("team.models-1", "été/x")),
        (f"pvc://{'a' * 253}/x", Claim("a" * 253, "x")),
        ("file:///data/x.jsonl", File("/data/x.jsonl")),
        ("s3://bucket/x", Remote("s3")),
        ("oci://registry/x:1", Remote("oci")),
    ],
)
def test_parse(uri: str, source: Source) -> None:
    assert parse(uri) == source


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("hf://a/b/c", "hf://ORGANISATION/NAME"),
        ("hf://org/model@main", "a revision has its own field"),
        ("pvc:///path", "pvc://CLAIM/PATH"),
        ("pvc://Models/x", "pvc://CLAIM/PATH"),
        ("pvc://mo..dels/x", "pvc://CLAIM/PATH"),
        ("pvc://models-.x/x", "pvc://CLAIM/PATH"),
        (f"pvc://{'a' * 254}/x", "pvc://CLAIM/PATH"),
        ("pvc://models/../x", "must not lead out"),
        ("ftp://x", "must begin with hf:// or pvc://"),
    ],
)
def test_what_means_nothing(uri: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        parse(uri)
