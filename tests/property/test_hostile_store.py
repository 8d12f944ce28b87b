"""Any change of a store's metadata, plans or values: one of our errors, or a result."""

import contextlib
import json
import os
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import twopass_store
from strangers import change_metadata, change_plan
from twopass_store.errors import TwopassError
from twopass_store.journal import Lock, hold
from twopass_store.report import store_status, summarize
from twopass_store.store import Store, lock_folder

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-1, 0, 119, 120, 121, 1 << 31, 1 << 40, 1 << 63, 10**30, -(1 << 63)]),
    st.floats(),
    st.sampled_from(
        ["", "x", "float32", "int64", "object", "string", "../../x", "\x1b[31m", "NaN", "default"]
    ),
    st.text(max_size=5),
    st.sampled_from(
        [[], {}, [[]], [1], ["x"], {"x": 1}, [0, -1], {"name": "bytes"}, {"name": "numcodecs.zlib"}]
    ),
)
"""What a value of JSON may be changed to, near misses among them."""


def places(value, path=()):
    """Yield the path of each value in a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*path, key))


def mutate(document, data):
    """Change, remove or repeat a value somewhere in a JSON document."""
    where = data.draw(st.sampled_from([path for path in places(document) if path]), label="where")
    parent = document
    for key in where[:-1]:
        parent = parent[key]
    action = data.draw(st.sampled_from(["change", "change", "change", "remove", "add"]), label="action")
    if action == "remove":
        del parent[where[-1]]
    elif action == "change":
        parent[where[-1]] = data.draw(VALUES, label="value")
    elif isinstance(parent, list):
        parent.append(parent[where[-1]])
    else:
        parent[data.draw(st.text(max_size=5), label="key")] = data.draw(VALUES, label="value")


def use(store, folder):
    """Do all that the library does with a store; what it raises must be ours."""
    new = str(folder / "new.xtc")
    for call in (
        lambda: store_status(store),
        lambda: summarize(store, "default"),
        lambda: twopass_store.summarize(store, convergence=True),
        lambda: twopass_store.open_results(store).load(),
        lambda: twopass_store.load_leaders(store),
        lambda: twopass_store.export_coordinates(store, folder / "o.xtc", cluster="C1", overwrite=True),
        lambda: twopass_store.verify_store(store),
        lambda: twopass_store.scan_cuts(store, n_clusters="2:3", name="default"),
        lambda: twopass_store.recut_clustering(store, new_name="fine", n_clusters=4),
        lambda: twopass_store.assign_frames(store, name="fine", margin=True),
        lambda: twopass_store.assign_frames(store, name="default", noise_cutoff=0.01, restart=True),
        lambda: twopass_store.cluster_subset(store, n_clusters=2, stride=3, name="other"),
        lambda: twopass_store.ingest_trajectories(store, new, append=True),
        lambda: twopass_store.relocate_trajectories(store, folder, folder, dry_run=True),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with contextlib.suppress(TwopassError):
                call()


@pytest.fixture
def fresh(finished, tmp_path):
    """Returns a new copy of the store each time it is called."""
    folder = tmp_path / "sent"

    def copy():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished.parent, folder)
        shutil.copy(folder / "md.xtc", folder / "new.xtc")
        return folder / finished.name

    return copy


def kinds(store):
    """List the files of metadata, without the plans."""
    found = sorted(str(file.parent.relative_to(store)) for file in store.rglob("zarr.json"))
    return ["" if path == "." else path for path in found]


CHECKS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def _metadata(fresh, data):
    store = fresh()
    path = data.draw(st.sampled_from(kinds(store)), label="path")
    change_metadata(store, path, lambda metadata: mutate(metadata, data))
    use(store, store.parent)


def _plan(fresh, data):
    store = fresh()
    stages = sorted(file.parent.name for file in store.glob("journal/*/zarr.json"))
    stage = data.draw(st.sampled_from(stages), label="stage")
    change_plan(store, stage, lambda plan: mutate(plan, data))
    use(store, store.parent)


def _topology(fresh, data):
    store = fresh()

    def change(metadata):
        topology = json.loads(metadata["attributes"]["topology"])
        mutate(topology, data)
        metadata["attributes"]["topology"] = json.dumps(topology)

    change_metadata(store, "", change)
    use(store, store.parent)


def _values(fresh, data):
    store = fresh()
    names = [path for path in kinds(store) if (store / path).glob("c.*") and "/ledger" not in path]
    names = [path for path in names if any((store / path).glob("c.*"))]
    path = data.draw(st.sampled_from(names), label="array")
    with hold(lock_folder(store), [Lock("ingest")]) as writer:
        opened = Store.open(store, writer=writer)
        values = np.array(opened._array(path)[:])
        at = data.draw(st.integers(0, values.size - 1), label="at")
        if values.dtype.kind in "iu":
            info = np.iinfo(values.dtype)
            value = data.draw(
                st.one_of(st.sampled_from([info.min, info.max, -1, 0, 3, 4]), st.integers(info.min, info.max))
            )
        elif values.dtype.kind == "f":
            value = data.draw(st.floats(width=32))
        else:
            values = values.astype(object)
            value = data.draw(st.text(max_size=5))
        everywhere = data.draw(st.booleans(), label="everywhere")
        values.reshape(-1)[slice(None) if everywhere else at] = value
        opened.write_all(path, values)
    use(store, store.parent)


TARGETS = {"metadata": _metadata, "plan": _plan, "topology": _topology, "values": _values}


@pytest.mark.parametrize(
    ("target", "n_examples"),
    [
        *((target, 1) for target in TARGETS),
        *(pytest.param(target, 100, marks=pytest.mark.slow) for target in TARGETS),
    ],
)
def test_changed_store__gives_an_error_of_ours_or_a_result(fresh, target, n_examples):
    n_examples = int(os.environ.get("TWOPASS_EXAMPLES", n_examples))

    # The few examples of every run are always the same.
    @settings(max_examples=n_examples, derandomize=n_examples == 1, database=None, **CHECKS)
    @given(st.data())
    def check(data):
        TARGETS[target](fresh, data)

    check()
