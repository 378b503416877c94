#!/bin/sh
# Writes the lock files from pyproject.toml: pinned, with hashes, and naming no index.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out=$1; shift
    uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links "$@" pyproject.toml -o "requirements/$out"
}
lock operator.txt --extra operator
lock trainer.txt --extra trainer
lock dev.txt --extra operator --extra trainer --extra dev
