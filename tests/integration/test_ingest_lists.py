"""Trajectories by a list, and atoms by an index group."""

import mdtraj as md
import numpy as np

from twopass_store.store import Store


def test_list__brings_each_file_with_its_topology(tmp_path, twopass, example_xtc, example_top):
    whole = md.load(example_xtc, top=example_top)
    heavy = whole.topology.select("element != H")
    few = whole.atom_slice(heavy)
    (tmp_path / "runs").mkdir()
    whole[:5].save_xtc(tmp_path / "runs" / "full.xtc")
    few[5:8].save_dcd(tmp_path / "runs" / "few.dcd")
    few[8:12].save_netcdf(tmp_path / "runs" / "few.nc")
    few[0].save_pdb(tmp_path / "runs" / "few.pdb")
    (tmp_path / "runs" / "list.csv").write_text(
        f"path,topology\nfull.xtc,{example_top}\nfew.dcd,few.pdb\nfew.nc,few.pdb\n"
    )
    twopass("ingest", "s.zarr", "--from-list", "runs/list.csv", "--select", "element != H")
    store = Store.open(tmp_path / "s.zarr")
    np.testing.assert_allclose(store.read("position"), whole.xyz[:12, heavy], atol=1e-6)
    assert store.read("trajectory").tolist() == [0] * 5 + [1] * 3 + [2] * 4
    assert store.read("source_frame").tolist() == [*range(5), *range(3), *range(4)]
    again = twopass("ingest", "s.zarr", "--from-list", "runs/list.csv", "--select", "element != H")
    assert "nothing was changed" in again.stdout


def test_index_group__is_what_is_kept(tmp_path, twopass, example_xtc, example_top):
    (tmp_path / "index.ndx").write_text("[ System ]\n1 2 3\n[ Heavy ]\n5 2 7 7\n")
    arguments = ("ingest", "s.zarr", example_xtc, "--top", example_top, "--ndx", "index.ndx", "--group")
    result = twopass(*arguments, "Heavy")
    assert 'group "Heavy": 3 atoms' in result.stderr
    assert "group 'Heavy' of index.ndx: 1 atoms are listed twice" in result.stderr
    expected = md.load(example_xtc, top=example_top).xyz[:, [1, 4, 6]]
    np.testing.assert_array_equal(Store.open(tmp_path / "s.zarr").read("position"), expected)
    result = twopass(*arguments, "Light", code=2)
    assert "0 System (3 atoms), 1 Heavy (4 atoms)" in result.stderr


def test_list_of_new_runs__adds_to_what_is_there(tmp_path, twopass, example_xtc, example_top):
    whole = md.load(example_xtc, top=example_top)[:40]
    for number in range(4):
        whole[10 * number : 10 * number + 10].save_xtc(tmp_path / f"{number}.xtc")
    header = "path,topology,run,temperature\n"
    old = [f"{number}.xtc,{example_top},cold,300\n" for number in (0, 1)]
    new = ["2.xtc,,hot,400\n"]
    (tmp_path / "old.csv").write_text("".join([header, *old]))
    (tmp_path / "new.csv").write_text("".join([header, *new]))
    (tmp_path / "all.csv").write_text("".join([header, *old, f"2.xtc,{example_top},hot,400\n"]))
    twopass("ingest", "s.zarr", "--from-list", "old.csv")
    twopass("ingest", "s.zarr", "--from-list", "new.csv", "--append")
    twopass("ingest", "expected.zarr", "--from-list", "all.csv")
    found, expected = Store.open(tmp_path / "s.zarr"), Store.open(tmp_path / "expected.zarr")
    for name in ("position", "run", "run_label", "run_temperature", "trajectory"):
        np.testing.assert_array_equal(found.read(name), expected.read(name))
    again = twopass("ingest", "s.zarr", "--from-list", "new.csv", "--append")
    assert "nothing was changed" in again.stdout
    # A file without a list is a run of its own.
    twopass("ingest", "s.zarr", "3.xtc", "--append")
    assert Store.open(tmp_path / "s.zarr").read("run_label").tolist() == ["cold", "hot", "3.xtc"]


def test_list_without_runs__adds_to_files_without_runs(tmp_path, twopass, example_xtc, example_top):
    whole = md.load(example_xtc, top=example_top)[:20]
    for number in range(2):
        whole[10 * number : 10 * number + 10].save_xtc(tmp_path / f"{number}.xtc")
    twopass("ingest", "s.zarr", "0.xtc", "--top", example_top)
    (tmp_path / "list.csv").write_text("path,run\n1.xtc,new\n")
    told = twopass("ingest", "s.zarr", "--from-list", "list.csv", "--append", code=7).stderr
    assert "Leave out what names runs" in told
    (tmp_path / "list.csv").write_text("path\n1.xtc\n")
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--append")
    np.testing.assert_array_equal(Store.open(tmp_path / "s.zarr").read("position"), whole.xyz)
