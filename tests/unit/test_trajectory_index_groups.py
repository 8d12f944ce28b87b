import numpy as np
import pytest

from twopass_store.errors import SelectionError, TrajectoryError
from twopass_store.trajectory import read_index_group

TEXT = """; made by hand
[ System ]
   1    2    3    4    5    6
   7    8
[ Backbone ]  ; of chain A
2 3 5
[ Odd ]
7 3 3 1
[ Empty ]
[ Twice ]
1 2
[ Twice ]
1 2
[ Other ]
1
[ Other ]
2
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "index.ndx"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("group", "atoms"),
    [("System", range(8)), ("Backbone", [1, 2, 4]), ("1", [1, 2, 4]), ("Twice", [0, 1]), ("6", [0])],
)
def test_group__is_counted_from_1(file, group, atoms):
    found, remark = read_index_group(file, group, n_atoms=8)
    np.testing.assert_array_equal(found, atoms)
    assert found.dtype == np.int64
    assert remark == ""


def test_order_and_duplicates__are_mended_and_told(file):
    found, remark = read_index_group(file, "Odd", n_atoms=8)
    assert found.tolist() == [0, 2, 6]
    assert remark.startswith("1 atoms are listed twice and taken once; its atoms are taken in the topology's")


@pytest.mark.parametrize(
    ("group", "n_atoms", "words"),
    [
        ("Protein", 8, r"no group 'Protein'.*0 System \(8 atoms\), 1 Backbone \(3 atoms\)"),
        ("System", 6, "has atom 7, and the topology has atoms 1 to 6"),
        ("Empty", 8, "is empty"),
        ("Other", 8, "2 groups 'Other'.*differ.*6 Other.*7 Other"),
        ("99", 8, "no group '99'"),
    ],
)
def test_group_that_cannot_be_used__says_why(file, group, n_atoms, words):
    with pytest.raises(SelectionError, match=words):
        read_index_group(file, group, n_atoms=n_atoms)


@pytest.mark.parametrize("text", ["1 2 3\n", "[ A ]\n1 x 3\n", "nothing\n"])
def test_file_that_is_no_index__is_refused(tmp_path, text):
    (tmp_path / "a.ndx").write_text(text)
    with pytest.raises(TrajectoryError, match=r"a\.ndx"):
        read_index_group(tmp_path / "a.ndx", "A", n_atoms=3)
