"""Kills while committed positions are turned into another type: the store goes on to the same bytes."""

import json
import shutil
import subprocess
import sys

import mdtraj as md
import numpy as np
import pytest

from faults import tells_of_command
from twopass_store import ingest_trajectories
from twopass_store.errors import PrecisionError
from twopass_store.store import Store

# Kills a process at each of its changes of the disk in turn, then runs the plain command on what is left.
# Forked before anything starts a thread, since importing takes longer than all the rest.
_KILLER = """
import json, os, shutil, sys
from pathlib import Path
import twopass_store.trajectory, twopass_store.ingest.plan, twopass_store.ingest.unit
import twopass_store.ingest.transcode
from twopass_store.ingest import ingest_trajectories
from twopass_store.journal import Writer

stopped, folder, trajectory, top, option, step = sys.argv[1:]
option = json.loads(option)

def run(store, options, deadly):
    child = os.fork()
    if not child:
        count = 0
        def counted(change):
            def wrapper(*arguments):
                nonlocal count
                count += 1
                if count > deadly:
                    os._exit(9)
                change(*arguments)
            return wrapper
        for name in ("write", "remove", "move"):
            setattr(Writer, name, counted(getattr(Writer, name)))
        try:
            ingest_trajectories(store, trajectory, top=top, **options)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

codes, deadly = [], 0
while not codes or codes[-1][0] == 9:
    store = Path(folder) / f"killed{deadly}"
    shutil.copytree(stopped, store)
    first = run(store, option, deadly)
    # Without the option: a change that was begun is brought to its end, one that wasn't stops as before.
    codes.append((first, run(store, {}, 10**9)))
    deadly += int(step)
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Three chunks of positions, of which the first two are committed as int16 and the third doesn't fit."""
    folder = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(2)
    topology = md.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for _ in range(100):
        topology.add_atom("C", md.element.carbon, residue)
    trajectory = md.Trajectory(rng.random((5_000, 100, 3), np.float32), topology, time=np.arange(5_000))
    trajectory.xyz[4_500, 50, 0] = -40
    trajectory[0].save_pdb(str(folder / "top.pdb"))
    trajectory.save_xtc(str(folder / "run.xtc"))
    with pytest.raises(PrecisionError):
        ingest_trajectories(folder / "s.zarr", folder / "run.xtc", top=folder / "top.pdb")
    assert Store.open(folder / "s.zarr").journal("ingest").done("position").tolist() == [True, True, False]
    return folder


def contents(store):
    files = (file for file in store.rglob("*") if file.is_file() and file.parent != store)
    files = (file for file in files if not tells_of_command(file))
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("option", "step"), [({"wide": True}, 1), ({"precision": "lossless"}, 4)], ids=["wide", "lossless"]
)
def test_kill_at_every_change_of_the_disk__goes_on_to_the_same_bytes(stopped, option, step, tmp_path):
    direct = tmp_path / "direct"
    ingest_trajectories(direct, stopped / "run.xtc", top=stopped / "top.pdb", **option)
    killer = subprocess.run(
        [
            sys.executable,
            "-c",
            _KILLER,
            stopped / "s.zarr",
            tmp_path,
            stopped / "run.xtc",
            stopped / "top.pdb",
            json.dumps(option),
            str(step),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    codes = json.loads(killer.stdout)
    assert codes[-1] == [0, 0]
    # The locks, the plan, the new array, its chunks and ledger, the exchange, both ledgers, the last chunk.
    assert len(codes) > 12 / step
    finished = 0
    for deadly, (_, second) in enumerate(codes):
        store = tmp_path / f"killed{step * deadly}"
        if second == 0:
            finished += 1
        else:
            # Killed before the change was recorded: it stopped again, and the option takes it on.
            assert Store.open(store).packing().dtype == "int16"
            assert step * deadly < 5
            ingest_trajectories(store, stopped / "run.xtc", top=stopped / "top.pdb", **option)
        assert contents(store) == contents(direct)
        shutil.rmtree(store)
    assert finished >= 10 / step
