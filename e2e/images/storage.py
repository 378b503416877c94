"""buildah with its storage in the cache folder."""

from e2e.cluster import shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import Layout


def buildah(where: Layout, *arguments: str, why: str) -> str:
    # TMPDIR too: it unpacks gigabytes there, and the machine's own may be small.
    temporary = where.buildah / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    storage = (
        "--root",
        str(where.buildah / "storage"),
        "--runroot",
        str(where.buildah / "run"),
        "--storage-driver",
        "overlay",
    )
    return shell.run(["buildah", *storage, *arguments], why=why, env={"TMPDIR": str(temporary)})


def exists(where: Layout, name: str) -> bool:
    try:
        buildah(where, "inspect", "--type", "image", name, why="look for an image")
    except ClusterError:
        return False
    return True
