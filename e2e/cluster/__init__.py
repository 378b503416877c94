"""A one-node Kubernetes on a bare Debian or Ubuntu: `python3 -m e2e.cluster --help`.

Standard library only: it runs with the machine's own python3, before any virtual environment exists.
"""
