"""What label files may look like."""

import numpy as np
import pytest

from twopass_store.errors import ConfigError
from twopass_store.report.label_file import read_labels

CPPTRAJ = "#Frame       Clust\n       1        0\n       2       -1\n       3        2\n"
XVG = '# gmx cluster\n@    title "Clust-id"\n@TYPE xy\n   0    1\n  10    1\n  20    3\n&\n'
LOG = """Using gromos method for clustering
Found 2 clusters

cl. | #st  rmsd | middle rmsd | cluster members
  1 |   3  .123 |     10 .100 |      0     10     30
    |           |             |
  2 |   1       |     20      |     20
"""


def no_times():
    raise AssertionError("only a log needs times")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (CPPTRAJ, [0, -1, 2]),
        (XVG, [1, 1, 3]),
        ("3\n1\n\n2\n", [3, 1, 2]),
        ("frame,label\n0,4\n1,5\n", [4, 5]),
        ("label\n1.0\n2.0\n", [1, 2]),
    ],
)
def test_labels__are_read_from_what_programs_write(tmp_path, text, labels):
    (tmp_path / "labels").write_text(text)
    assert read_labels(tmp_path / "labels", times=no_times).tolist() == labels


def test_column__may_be_another_than_the_last(tmp_path):
    (tmp_path / "labels").write_text("1 7 0.5\n2 8 0.25\n")
    found = read_labels(tmp_path / "labels", column=2, times=no_times)
    assert found.tolist() == [7, 8]
    with pytest.raises(ConfigError, match="no column 4"):
        read_labels(tmp_path / "labels", column=4, times=no_times)


def test_gmx_log__lists_members_by_their_times(tmp_path):
    (tmp_path / "cluster.log").write_text(LOG)
    times = np.array([0.0, 10.0, 20.0, 30.0])
    found = read_labels(tmp_path / "cluster.log", times=lambda: times)
    assert found.tolist() == [1, 1, 2, 1]
    with pytest.raises(ConfigError, match="lists 4 frames and the store has 5"):
        read_labels(tmp_path / "cluster.log", times=lambda: np.append(times, 40.0))
    with pytest.raises(ConfigError, match="no frame of the store has the time 30"):
        read_labels(tmp_path / "cluster.log", times=lambda: times + np.eye(4)[3])
    with pytest.raises(ConfigError, match="clid"):
        read_labels(tmp_path / "cluster.log", times=lambda: times * 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no labels"),
        ("# nothing\n", "has no labels"),
        ("1\n2.5\n", "frame 2 is 2.5"),
        ("1\nnan\n", "frame 2 is nan"),
        ("1 2\n3\n", "Cannot read labels"),
        ("label\none\n", "Cannot read labels"),
    ],
)
def test_what_is_no_label__is_named(tmp_path, text, words):
    (tmp_path / "labels").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_labels(tmp_path / "labels", times=no_times)


def test_missing_file__is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read labels"):
        read_labels(tmp_path / "nowhere", times=no_times)


def test_gmx_log__is_refused_at_the_first_time_that_is_there_twice(tmp_path):
    """Six digits tell a million frames apart, not ten millions; their texts would take a gigabyte."""
    log = tmp_path / "cluster.log"
    log.write_text("cl. | #st  rmsd | middle rmsd | cluster members\n  1 | 1 | 0 | 0\n")
    times = np.concatenate([np.arange(1000.0), [1.0], np.full(1000, np.nan)])
    with pytest.raises(ConfigError, match="same time to six digits"):
        read_labels(log, times=lambda: times)
