"""PDB files: each model with its own unit cell, however models are separated; bonds of clear atoms."""

import gzip

import mdtraj as md
import numpy as np
import pytest

from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError, TruncatedTrajectoryError
from twopass_store.store import Store
from twopass_store.trajectory import load_structures, load_topology, probe

EDGES = (30.0, 25.5, 21.0, 40.0)
N_ATOMS = 22


def atom_lines(top, xyz):
    """Lines of the atoms of a file with other positions, Å."""
    lines = [line for line in top.read_text().splitlines() if line.startswith("ATOM")]
    return [
        f"{line[:30]}{x:8.3f}{y:8.3f}{z:8.3f}{line[54:]}" for line, (x, y, z) in zip(lines, xyz, strict=True)
    ]


def make_models(top, style, wrap=False):
    """Text of a model for each of the edges, and the positions in it before they were wrapped, Å."""
    base = md.load(str(top)).xyz[0] * 10.0
    base -= base.mean(axis=0)
    lines, positions = ["REMARK   of nobody"], []
    for number, edge in enumerate(EDGES, start=1):
        xyz = np.round(base.astype(float) + 0.5 * number, 3)
        positions.append(xyz)
        cell = f"CRYST1{edge:9.3f}{edge:9.3f}{edge:9.3f}  90.00  90.00  90.00 P 1           1"
        atoms = [*atom_lines(top, np.round(xyz % edge if wrap else xyz, 3)), "TER"]
        lines += {
            "before": [cell, f"MODEL     {number:4d}", *atoms, "ENDMDL"],
            "within": [f"MODEL     {number:4d}", cell, *atoms, "ENDMDL"],
            "unended": [cell, f"MODEL     {number:4d}", *atoms],
            "ends": [cell, *atoms, "END"],
            "once": [*([cell] if number == 1 else []), f"MODEL     {number:4d}", *atoms, "ENDMDL"],
        }[style]
    return "\n".join([*lines, "END", ""]), np.array(positions)


@pytest.mark.parametrize("style", ["before", "within", "unended", "ends", "once"])
def test_models__have_their_own_cells(style, tmp_path, example_top):
    text, positions = make_models(example_top, style)
    path = tmp_path / "run.pdb"
    path.write_text(text)
    ingest_trajectories(tmp_path / "s.zarr", path)
    store = Store.open(tmp_path / "s.zarr")
    edges = np.array(EDGES if style != "once" else EDGES[:1] * 4)[:, None] / 10 * np.ones(3)
    np.testing.assert_allclose(store.read("unitcell_lengths"), edges, rtol=1e-7)
    np.testing.assert_allclose(store.read("position"), positions / 10, rtol=1e-6)
    np.testing.assert_array_equal(store.read("position"), md.load(str(path)).xyz)
    packed = tmp_path / "run.pdb.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    ingest_trajectories(tmp_path / "gz.zarr", packed, discard_first=2)
    np.testing.assert_array_equal(
        Store.open(tmp_path / "gz.zarr").read("position"), store.read("position")[2:]
    )


def test_whole__uses_the_cell_of_each_model(tmp_path, twopass, example_top):
    text, positions = make_models(example_top, "before", wrap=True)
    (tmp_path / "run.pdb").write_text(text)
    warned = twopass("ingest", "as-they-are.zarr", "run.pdb", cwd=tmp_path)
    assert "atoms jump across the box in 4 of the 4 frames" in warned.stderr
    twopass("ingest", "whole.zarr", "run.pdb", "--image", "whole", cwd=tmp_path)
    found = Store.open(tmp_path / "whole.zarr").read("position").astype(float)
    apart, expected = (xyz - xyz[:, :1] for xyz in (found, positions / 10))
    np.testing.assert_allclose(apart, expected, atol=2e-3)


def test_alternate_locations__the_first_counts(tmp_path, example_top):
    first, *others = atom_lines(example_top, np.arange(3 * N_ATOMS).reshape(-1, 3))
    located = [
        f"{first[:16]}{name}{first[17:30]}{x:8.3f}{first[38:]}" for name, x in (("A", 7.0), ("B", 9.0))
    ]
    models = [[*located, *others], [located[0], *others]]  # as many atoms, in fewer lines
    path = tmp_path / "run.pdb"
    path.write_text("\n".join(line for model in models for line in ("MODEL", *model, "ENDMDL")) + "\n")
    ingest_trajectories(tmp_path / "s.zarr", path)
    found = Store.open(tmp_path / "s.zarr").read("position")
    np.testing.assert_array_equal(found, md.load(str(path)).xyz)
    assert found[0, 0, 0] == np.float32(0.7)


def test_bonds__only_of_numbers_of_one_atom(tmp_path, twopass, example_top):
    atoms = atom_lines(example_top, np.arange(3 * N_ATOMS).reshape(-1, 3))
    atoms += [
        f"HETATM{number:>5}  C{name}  LIG B   9{line[26:]}"
        for number, name, line in (
            (22, "1", atoms[0]),
            ("*****", "2", atoms[1]),
            ("*****", "3", atoms[2]),
            (31, "4", atoms[3]),
            (32, "5", atoms[4]),
        )
    ]
    bonds = ["CONECT   31   32", "CONECT   22   31", "CONECT*****   31"]
    (tmp_path / "top.pdb").write_text("\n".join([*atoms, *bonds, "END", ""]))
    ligand = [(a.index, b.index) for a, b in load_topology(tmp_path / "top.pdb").bonds if b.index >= N_ATOMS]
    assert ligand == [(N_ATOMS + 3, N_ATOMS + 4)]
    said = twopass("ingest", "s.zarr", "top.pdb", cwd=tmp_path).stderr
    assert said.count("2 CONECT records of top.pdb") == said.count("CONECT") == 1


def test_models__that_differ_or_are_cut_are_named(tmp_path, example_top):
    text, _ = make_models(example_top, "before")
    path, lines = tmp_path / "run.pdb", text.splitlines(keepends=True)
    last_atom = max(number for number, line in enumerate(lines) if line.startswith("ATOM"))
    path.write_text("".join(lines[:last_atom] + lines[last_atom + 1 :]))
    with pytest.raises(TrajectoryError, match=r"Frame 3 .* has 21 atoms, and the first frame has 22"):
        probe(path, None)
    path.write_text("".join(lines[:last_atom]))
    with pytest.raises(TruncatedTrajectoryError, match=r"unfinished: 3 whole frames"):
        load_structures(path)
    info = probe(path, None)
    assert info.n_frames == 3 and info.size_bytes == text.index("ENDMDL", text.index("MODEL        3")) + 7
    assert info.bytes_left == path.stat().st_size - info.size_bytes
