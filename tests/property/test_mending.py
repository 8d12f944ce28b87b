"""Any damage after any history of ingest and append is mended by the command that repair prints."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from small_chunks import small_chunks
from small_stores import SMALL, files_of, flip
from trajectory_files import make_trajectory
from twopass_store import ingest_trajectories, repair_store, verify_store
from twopass_store.errors import FingerprintMismatchError

WHOLE = make_trajectory(400, n_residues=2)
OPTIONS = (
    {},
    {"stride": 2, "discard_first": 1},
    {"select": "element != H", "precision": 0.01},
    {"run_pattern": r"run(\d)", "every": "5 ps", "burn_in": "5 ps"},
    {"dt": "2 ps", "stride": 3},
)


@dataclass
class History:
    """A store in the making, and the files that it is made of: which frames each has."""

    folder: Path
    options: dict[str, Any]
    is_listed: bool
    files: dict[Path, list[int]] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "s.zarr"

    def write(self, files: list[tuple[int, int]]) -> None:
        """Write files, by their indices, with so many frames more."""
        for index, n_more in files:
            # The frames of a run lie side by side.
            path = self.folder / f"run{index // 2}" / f"{index}.{('xtc', 'trr')[index % 3 == 0]}"
            path.parent.mkdir(exist_ok=True)
            start, stop = self.files.get(path, [40 * index, 40 * index])
            self.files[path] = [start, min(stop + n_more, start + 40)]
            WHOLE[slice(*self.files[path])].save(str(path))

    def ingest(self, *, append: bool) -> None:
        top = self.folder / "top.pdb"
        given: dict[str, Any] = {"trajectories": list(self.files), **({} if append else {"top": top})}
        if self.is_listed:
            lines = [
                f"{path},{top},{path.stem},{(run := path.parent.name)},{run},30{run[3:]}.5"
                for path in self.files
            ]
            listed = self.folder / "list.csv"
            listed.write_text("\n".join(["path,topology,label,run,replica,temperature", *lines]))
            given = {"from_list": listed}
        more = {} if append else self.options
        ingest_trajectories(self.store, append=append, workers=1, **given, **more)


@st.composite
def steps(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """What is written before the ingest, and before each append: files that are new or grow."""
    found: list[list[tuple[int, int]]] = []
    n_files = 0
    for _ in range(draw(st.integers(1, 4), "steps")):
        n_new = draw(st.integers(0 if found else 1, 2), "new")
        grown = draw(st.sets(st.integers(0, n_files - 1), max_size=2), "grown") if n_files else set()
        indices = [*sorted(grown), *range(n_files, n_files + n_new)]
        n_files += n_new
        found.append([(index, draw(st.integers(6, 25), "frames")) for index in indices])
    return found


@settings(max_examples=6, phases=[Phase.generate])
@given(steps=steps(), options=st.sampled_from(OPTIONS), is_listed=st.booleans(), data=st.data())
def test_any_damage_after_any_history__is_mended(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[list[tuple[int, int]]],
    options: dict[str, Any],
    is_listed: bool,
    data: st.DataObject,
) -> None:
    history = History(tmp_path_factory.mktemp("history"), options, is_listed and "run_pattern" not in options)
    WHOLE[0].save_pdb(str(history.folder / "top.pdb"))
    with small_chunks(**SMALL):
        for number, files in enumerate(steps):
            history.write(files)
            try:
                history.ingest(append=number > 0)
            except FingerprintMismatchError:  # with a stride, other frames of a run would be kept
                assert number > 0
        before = files_of(history.store)
        if data.draw(st.booleans(), "the files have grown since"):
            history.write([(0, 3), (1, 3)])
        of_frames = sorted(name for name in before if "journal" not in name)
        for name in data.draw(st.sets(st.sampled_from(of_frames), min_size=1, max_size=4), "damaged"):
            file = history.store / name
            file.unlink() if data.draw(st.booleans(), "missing") else flip(file, len(before[name]) // 2)
        repaired = repair_store(history.store)
        assert repaired.left == ()
        if repaired.commands:
            assert repaired.commands == (f"twopass ingest --append {history.store}",)
            # Nothing else is opened.
            for path in history.files:
                if str(path) not in repaired.sources:
                    path.rename(path.with_suffix(".away"))
            ingest_trajectories(history.store, append=True, workers=1)
        assert verify_store(history.store, workers=1).is_whole
        assert files_of(history.store) == before
