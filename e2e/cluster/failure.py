"""The one error that the command line turns into a sentence and an exit code."""


class ClusterError(Exception):
    """Says what failed, where, and what to do; shown without a traceback."""
