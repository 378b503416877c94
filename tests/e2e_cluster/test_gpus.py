import pytest

from e2e.cluster import gpus
from e2e.cluster.failure import ClusterError
from e2e.cluster.gpus import Gpus


def test_parse():
    assert gpus.parse("A100-80GB=4") == Gpus("A100-80GB", 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("B52=1", "there are T4, L4"),
        ("L4", "L4=4"),
        ("L4=many", "L4=4"),
    ],
)
def test_parse_says_what_to_write(text, says):
    with pytest.raises(ClusterError, match=says):
        gpus.parse(text)


def test_zero_is_a_node_that_never_had_one():
    assert set(gpus._labels(Gpus("L4", 0)).values()) == {None}
