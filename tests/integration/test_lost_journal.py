"""A store that has lost plans or ledgers is refused and named, and nothing is removed without a request."""

import shutil

import pytest

from small_stores import files_of, flip
from trajectory_files import make_trajectory

INGEST = ["ingest", "s.zarr", "md.xtc", "--top", "md.pdb"]
CLUSTER = ["cluster", "s.zarr", "--n-clusters", "3", "--stride", "4", "--select", "element != H"]
ASSIGN = ["assign", "s.zarr", "--margin"]
AGAIN = {
    "ingest": INGEST,
    "subset-*": CLUSTER,
    "clustering-default": CLUSTER,
    "assign-default": ASSIGN,
    "margin-default": ASSIGN,
}
REFUSED = {
    "ingest": [
        INGEST,
        ["ingest", "s.zarr", "md.xtc", "--append"],
        [*CLUSTER, "--restart"],
        ASSIGN,
    ],
    "subset-*": [CLUSTER, [*CLUSTER[:3], "4", *CLUSTER[4:], "--name", "other"]],
    "clustering-default": [CLUSTER, [*CLUSTER[:3], "4", *CLUSTER[4:]], ASSIGN],
    "assign-default": [ASSIGN, [*ASSIGN, "--noise-cutoff", "0.1"]],
    "margin-default": [ASSIGN],
}


@pytest.mark.parametrize(
    ("stage", "part"), [(stage, ("", "ledger")[place % 2]) for place, stage in enumerate(REFUSED)]
)
def test_lost_journal__is_damage_and_nothing_is_removed(twopass, finished, tmp_path, stage, part):
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    store = tmp_path / "s.zarr"
    (folder,) = (store / "journal").glob(stage)
    shutil.rmtree(folder / part)
    before = files_of(store)
    for command in (["verify", "s.zarr"], ["status", "s.zarr"], *REFUSED[stage]):
        said = twopass(*command, code=9)
        assert folder.name in said.stdout + said.stderr, command
        assert files_of(store) == before, command
    twopass("repair", "s.zarr", code=0 if part else 9)
    assert files_of(store).keys() >= before.keys()
    twopass(*AGAIN[stage], *([] if part else ["--restart"]))
    twopass("verify", "s.zarr")


def test_store_of_the_first_instant__is_begun_anew(twopass, finished, tmp_path):
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    store = tmp_path / "s.zarr"
    for folder in [each for each in store.iterdir() if each.is_dir()]:
        shutil.rmtree(folder)
    twopass(*INGEST)
    twopass("verify", "s.zarr")


def test_next_command__names_a_file_that_has_grown_once(twopass, tmp_path):
    trajectory = make_trajectory(30, n_residues=2)
    trajectory[0].save_pdb(str(tmp_path / "md.pdb"))
    for n_frames, options in ((20, ["--top", "md.pdb"]), (30, ["--append"])):
        trajectory[:n_frames].save_xtc(str(tmp_path / "md.xtc"))
        twopass("ingest", "s.zarr", "md.xtc", *options)
    flip(tmp_path / "s.zarr" / "trajectory_path" / "c.0", 11)
    said = twopass("repair", "s.zarr").stdout
    assert said[said.index("Next: ") :].count("md.xtc") == 1
