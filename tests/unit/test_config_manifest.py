import glob
from pathlib import Path

import pytest

from twopass_store.config import IngestConfig, InputFile, list_inputs, read_manifest, validated
from twopass_store.config import paths as config_paths
from twopass_store.errors import ConfigError, TrajectoryError, TrajectoryNotFoundError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a.xtc", "b1.xtc", "b2.xtc", "b10.xtc", "top.pdb", "other.pdb", "odd, name.xtc"):
        (tmp_path / "data" / name).write_text("x")
    return tmp_path


def write(folder, text, name="list.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv__with_a_header_in_any_order(folder):
    text = """# made by a script
temperature,run,path,topology,replica,label
300, apo, data/a.xtc, data/top.pdb, 1, apo 1

310 K,,"data/odd, name.xtc",,,
"""
    data = folder / "data"
    assert read_manifest(write(folder, text)) == [
        InputFile(
            path=data / "a.xtc",
            topology=data / "top.pdb",
            label="apo 1",
            run="apo",
            replica="1",
            temperature=300,
        ),
        InputFile(path=data / "odd, name.xtc", temperature=310),
    ]


def test_csv__without_a_header_is_path_topology_label(folder):
    data = folder / "data"
    found = read_manifest(write(folder, "data/a.xtc,data/top.pdb,apo\ndata/b1.xtc\n"))
    assert found == [
        InputFile(path=data / "a.xtc", topology=data / "top.pdb", label="apo"),
        InputFile(path=data / "b1.xtc"),
    ]


@pytest.mark.parametrize("sign", ["\t", ";"])
def test_csv__of_spreadsheets(folder, sign):
    text = f"\ufeffpath{sign}run\r\ndata/a.xtc{sign}A\r\n"
    found = read_manifest(write(folder, text))
    assert found == [InputFile(path=folder / "data" / "a.xtc", run="A")]


def test_pattern__stands_for_its_files_in_natural_order(folder):
    found = read_manifest(write(folder, "path,run\ndata/b*.xtc,B\n"))
    assert [(file.path.name, file.run) for file in found] == [
        ("b1.xtc", "B"),
        ("b2.xtc", "B"),
        ("b10.xtc", "B"),
    ]


@pytest.mark.parametrize("pattern", ["**/*.xtc", "**", "a*/**/b/**/?.xtc", "**/b/*", "[ab]/**"])
def test_pattern__finds_what_glob_finds_and_says_so(tmp_path, monkeypatch, pattern):
    for file in ("x.xtc", "a/x.xtc", "a/b/y.xtc", "ab/c/b/z.xtc", "a/b/.x.xtc", ".h/x.xtc", "b/b/[x].xtc"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    hits = glob.glob(f"{tmp_path}/{pattern}", recursive=True)  # noqa: PTH207
    expected = {Path(hit) for hit in hits if Path(hit).is_file()}
    # Links in circles, as in /proc.
    (tmp_path / "a" / "b" / "same").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "b" / "again").symlink_to(tmp_path / "b")
    monkeypatch.setattr(config_paths, "PATIENCE_SECONDS", 0)
    notes = []
    found = list_inputs(IngestConfig(trajectories=(f"{tmp_path}/{pattern}",)), notes.append)
    assert {file.path.resolve() for file in found} == expected
    assert f"looking for '{tmp_path}/{pattern}': 1 folders seen, 0 files found" in notes


def test_pattern__walks_the_folders_once(folder):
    deep = folder.joinpath(*"abcdefghijkl")
    deep.mkdir(parents=True)
    (deep / "x.xtc").touch()
    found = read_manifest(write(folder, f"path\n{'**/' * 20}x.xtc\n"))
    assert [file.path for file in found] == [deep / "x.xtc"]


def test_toml__has_a_table_for_each(folder):
    text = """
[[trajectory]]
path = "data/a.xtc"
topology = "data/top.pdb"
run = 7
temperature = 300
[[trajectory]]
path = "example:alanine-dipeptide.xtc"
replica = 2
"""
    first, second = read_manifest(write(folder, text, "list.toml"))
    data = folder / "data"
    assert first == InputFile(path=data / "a.xtc", topology=data / "top.pdb", run="7", temperature=300)
    assert second.path.name == "alanine-dipeptide.xtc"
    assert second.replica == "2"


def test_list_inputs__takes_patterns_or_the_list(folder):
    path = write(folder, "data/a.xtc\n")
    expected = [InputFile(path=folder / "data" / "a.xtc")]
    assert list_inputs(IngestConfig(from_list=str(path))) == expected
    assert list_inputs(IngestConfig(trajectories=(str(folder / "data" / "a.xtc"),))) == expected


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("path,colour\ndata/a.xtc,red\n", ConfigError, "line 2: unknown option `colour`; allowed are path"),
        ("data/a.xtc,data/top.pdb,apo,1\n", ConfigError, "line 1 has 4 columns instead of path"),
        ("path\ndata/a.xtc\ndata/c.xtc\n", TrajectoryNotFoundError, "line 3: There is no file .*c.xtc"),
        ("path,topology\ndata/a.xtc,data/x.pdb\n", TrajectoryNotFoundError, "line 2: .*x.pdb"),
        ("path,topology\ndata/a.xtc,data/*.pdb\n", ConfigError, "line 2: .*several files"),
        ("path,temperature\ndata/a.xtc,hot\n", ConfigError, "line 2: `temperature` = 'hot'"),
        ("data/a.xtc\ndata/../data/a.xtc\n", TrajectoryError, "line 2: .*already, at line 1"),
        ("path,run\n,A\n", ConfigError, "line 2: `path` is missing"),
        ("# nothing\n", ConfigError, "names no trajectory"),
    ],
)
def test_csv_that_cannot_be_used__names_the_line(folder, text, error, words):
    with pytest.raises(error, match=words) as caught:
        read_manifest(write(folder, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[trajectory]\n", "Cannot read the list"),
        ("[[files]]\npath = 'a'\n", r"tables \[\[trajectory\]\]"),
        ("[[trajectory]]\nfile = 'a'\n", "trajectory 1: .*unknown option `file`"),
        ("[[trajectory]]\nrun = 'a'\n", "trajectory 1: `path` is missing"),
    ],
)
def test_toml_that_cannot_be_used__names_the_table(folder, text, words):
    with pytest.raises(ConfigError, match=words):
        read_manifest(write(folder, text, "list.toml"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no trajectory was given"),
        ({"trajectories": "a.xtc", "from_list": "list.csv"}, "either `trajectories` or `from_list`"),
        ({"trajectories": "a.xtc", "ndx": "index.ndx"}, "`ndx` and `group` belong together"),
        ({"trajectories": "a.xtc", "ndx": "i.ndx", "group": "A", "select": "all"}, "`select` and `group`"),
        ({"trajectories": "a.xtc", "every": "1 ps", "stride": 2}, "`every` and `stride`"),
        ({"trajectories": "a.xtc", "begin": "2 ns", "end": "1 ns"}, "`begin` lies after `end`"),
        ({"trajectories": "a.xtc", "run_pattern": "("}, "`run_pattern` = .*is no regular expression"),
        ({"trajectories": "a.xtc", "burn_in": "soon"}, "`burn_in` = 'soon': is no time"),
        ({"trajectories": "a.xtc", "dt": "0 ps"}, "dt"),
    ],
)
def test_options_that_exclude_each_other__say_so(options, words):
    with pytest.raises(ConfigError, match=words):
        validated(IngestConfig, options)


def test_times__are_read_with_their_units():
    config = IngestConfig(trajectories=("a.xtc",), burn_in="0.1 us", begin="5", end="2ns", every="500 fs")
    assert (config.burn_in, config.begin, config.end, config.every) == (1e5, 5.0, 2000.0, 0.5)
