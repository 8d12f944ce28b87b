"""Whatever stands in a config, an option, a list or an index file: an answer, or one clear error."""

import os
import random
import socket
import string
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trajectory_files import make_trajectory, write
from twopass_store.config import (
    IngestConfig,
    RunConfig,
    list_inputs,
    load_config,
    parse_bytes,
    parse_length_nm,
    parse_time_ps,
    read_manifest,
)
from twopass_store.errors import TwopassError
from twopass_store.report.label_file import read_labels
from twopass_store.trajectory import load_topology, probe, read_index_group, read_masses

SECTIONS = {
    "ingest": IngestConfig,
    **{name: RunConfig.model_fields[name].annotation for name in ("cluster", "assign")},
}
KEYS = ["store", "ingest", "cluster", "assign", "nosuch"]
KEYS += [f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields]

NASTY = [
    str(10**30),
    "1" * 5000,
    "-1",
    "nan",
    "-inf",
    "1e400",
    "1e308",
    "''",
    r'"\u0000"',
    "\0",
    r'"a\nb"',
    "\ud800",
    "\udcff",
    "[]",
    "{}",
    "true",
    "1979-05-27",
    "'~nosuch/x'",
    "x" * 5000,
    "9" * 70_000 + "A",
    "9" * 70_000 + "GB",
    "'" + "9" * 300 + "TB'",
    "٣",
    "²",
    "'anchor=\n'",
    "'**/*'",
    "[!",
    "(" * 5000,
    "a{99999999999}",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small trajectory with its topology, as all formats of lists name it."""
    where = tmp_path_factory.mktemp("inputs")
    trajectory = make_trajectory(3, n_residues=2)
    write(trajectory, where / "a.xtc")
    write(trajectory, where / "b.xtc")
    write(trajectory[:1], where / "t.pdb")
    (where / "run.toml").write_text('store = "run.zarr"\n[ingest]\ntrajectories = ["a.xtc"]\ntop = "t.pdb"\n')
    return where


def answers(call: Callable[[], object]) -> bool:
    """Whether there is an answer; otherwise the error must be one of ours, and no longer than a screen."""
    said = None
    try:
        call()
    except TwopassError as error:
        said = str(error)
    assert said is None or 0 < len(said) < 2500
    return said is None


def assigned(folder: Path, *overrides: str) -> bool:
    def call() -> None:
        config = load_config(folder / "run.toml", overrides=overrides)
        list_inputs(config.ingest)

    return answers(call)


def test_set__every_key_with_every_nasty_value(folder):
    found = [assigned(folder, f"{key}={value}") for key in KEYS for value in NASTY]
    assert 0 < sum(found) < len(found) / 2


values = st.recursive(
    st.one_of(
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.booleans(),
        st.text(max_size=20),
        st.sampled_from(["auto", "2A", "1e9GB", "name CA", "a.xtc", "anchor=protein", "default"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_", max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08X}" for sign in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {as_toml(inner)}' for key, inner in value.items()) + "}"
    return repr(value)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=4))
def test_config__any_values(folder, table):
    assigned(folder, *(f"{key}={as_toml(value)}" for key, value in table.items()))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("0123456789.eE+-nmAåKMGTiBps µ²٣"), max_size=24))
@example(text="9" * 100_000 + "x")
@example(text="1e308TB")
def test_quantities__a_number_or_one_error(text):
    for parse in (parse_bytes, parse_length_nm, parse_time_ps):
        with suppress(ValueError):
            assert 0 <= parse(text) < float("inf")


def damaged(text: str, seed: int) -> str:
    rng = random.Random(seed)
    signs = ["\0", "\ud800", "\r", "\n", '"', ",", ";", "\t", "#", "*", "[", "**", "~nobody/", "1" * 500]
    signs += [
        "[[",
        "nan",
        "-1",
        "\x1b[2J",
        "path",
        "=",
        "\\",
        "..",
        "/dev/zero",
        "9" * 25,
    ]
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(text) + 1)
        insert = rng.choice([*signs, rng.choice(string.printable)])
        text = text[:place] + insert + text[place + rng.choice([0, 0, 1, 5]) :]
    return text


LISTS = {
    "csv": "path,topology,label,run,replica,temperature\na.xtc,t.pdb,apo,r1,1,300\nb*.xtc,t.pdb,,r1,1,300K\n",
    "tsv": '"a.xtc"\tt.pdb\n# all\nb.xtc\tt.pdb\t"t""x"\n',
    "toml": '[[trajectory]]\npath="a.xtc"\ntemperature=3\n[[trajectory]]\npath="b.xtc"\ntopology="t.pdb"\n',
}


@pytest.mark.parametrize("form", LISTS)
def test_list__damaged(form, folder):
    path = folder / f"damaged.{form}"
    found = []
    for seed in range(100):
        path.write_bytes(damaged(LISTS[form], seed).encode("utf-8", "surrogatepass"))
        found.append(answers(lambda: read_manifest(path)))
    path.write_text(LISTS[form])
    assert len(read_manifest(path)) == 2 and not all(found)


GROUPS = "[ System ]\n" + " ".join(map(str, range(1, 15))) + "\n[ CA ]\n3 10 ; alphas\n[ CA ]\n3 10\n"


def test_index_file__damaged(folder):
    path = folder / "index.ndx"
    for seed in range(100):
        path.write_bytes(damaged(GROUPS, seed).encode("utf-8", "surrogatepass"))
        for group in ("System", "CA", "1"):
            answers(lambda group=group: read_index_group(path, group, n_atoms=14))
    path.write_text(GROUPS)
    assert read_index_group(path, "1", n_atoms=14)[0].tolist() == [2, 9]
    for group in ("²", "1" * 5000, "-1", "", "\0"):
        assert not answers(lambda group=group: read_index_group(path, group, n_atoms=14))


@pytest.fixture
def strange(tmp_path) -> dict[str, Path]:
    """What is no file: reading a pipe would wait, a device would never end."""
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket is at most 107 characters long
        listening.bind("socket")
        os.chdir(here)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "itself").symlink_to("itself")
    return {name: tmp_path / name for name in ("socket", "pipe", "folder", "zero", "itself")}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["socket", "pipe", "folder", "zero", "itself"])
def test_no_file__is_refused_at_once(kind, strange, folder):
    place = strange[kind]
    topology = load_topology(folder / "t.pdb")
    for suffix in ("", ".xtc", ".pdb", ".h5", ".gro", ".toml", ".csv"):
        link = place.with_name(kind + suffix)
        if suffix:
            link.symlink_to(place)
        assert not answers(lambda link=link: probe(link, topology))
        assert not answers(lambda link=link: load_topology(link))
        assert not answers(lambda link=link: read_index_group(link, "0", n_atoms=14))
        assert not answers(lambda link=link: read_masses(link, topology, [0]))
        assert not answers(lambda link=link: read_labels(link, times=list))
