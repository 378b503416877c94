"""The project's images, built without Docker and pushed to a registry: `python3 -m e2e.images --help`.

Standard library only, as e2e.cluster.
"""
