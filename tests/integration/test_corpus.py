"""Small nasty files, each of which once did harm or might: what comes of them stays as it is.

`top.pdb` has the 14 atoms of all trajectories among them.
"""

from pathlib import Path

import pytest

from damage import read
from twopass_store import ingest_trajectories
from twopass_store.errors import (
    NonFiniteError,
    TopologyMismatchError,
    TrajectoryError,
    TruncatedTrajectoryError,
    TwopassError,
    UnreadableError,
)
from twopass_store.trajectory import end_readers, load_topology

CORPUS = Path(__file__).parents[1] / "corpus"
TOPOLOGIES = (".prmtop", ".psf", ".mol2", ".hoomdxml", ".cif", ".gz")

# Those that are read: frames, or atoms of a topology.
RIGHT = {
    "billions-of-frames.dcd": 2,  # two are there
    "billions-of-frames.nc": 2,
    "frames-of-a-stream.nc": 2,
    "long-name.trr": 2,  # the length of a name that nobody reads
    "model-open.pdb": 2,  # all of its atoms are there
    "quotes.cif": 4,
    "time-without-number.gro": 1,
    "residue-names.mol2": 3,
    "top.pdb": 1,
}
NOT_FINITE = {
    "cell-nan.dcd",
    "cell-nan.xtc",
    "time-infinite.xtc",
    "position-infinite.xyz",
    "position-nan.pdb",
    "precision-nan.xtc",
}
TRUNCATED = {
    "billions-of-atoms.lammpstrj",
    "billions-of-atoms.nc",
    "billions-of-atoms.xyz",
    "billions-of-atoms.dcd",
    "digits-of-thousands.xyz",
    "stars.mdcrd",
    "title-only.mdcrd",
}
SAYS = {"cell-without-angles.nc": "no unit cell"}


@pytest.fixture(scope="module", autouse=True)
def reader_ends():
    yield
    end_readers()


def test_corpus__stays_small():
    sizes = [path.stat().st_size for path in CORPUS.iterdir()]
    assert max(sizes) < 2048 and sum(sizes) < 60_000
    names = {path.name for path in CORPUS.iterdir()}
    assert names >= {*RIGHT, *NOT_FINITE, *TRUNCATED, *SAYS}


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_corpus__right_or_one_error(name, tmp_path):
    path, found, error = CORPUS / name, 0, None
    top = load_topology(CORPUS / "top.pdb")
    try:
        if path.suffix in TOPOLOGIES:
            found = load_topology(path).n_atoms
        else:
            found = len(read(path, top)["xyz"])
            ingest_trajectories(tmp_path / "run.zarr", path, top=CORPUS / "top.pdb")
    except TwopassError as caught:
        error = caught
    if name == "run-too-long.xtc" and error is None:
        return  # mdtraj writes behind its buffer, which its process may survive
    if name in RIGHT:
        assert found == RIGHT[name] and error is None
        return
    expected = TrajectoryError
    if name in NOT_FINITE:
        expected = NonFiniteError
    elif name in TRUNCATED:
        expected = TruncatedTrajectoryError
    assert type(error) in (expected, TopologyMismatchError, UnreadableError), error
    assert path.name in str(error)
    with pytest.raises(expected, match=SAYS.get(name, "The|[a-z]")):
        raise error
