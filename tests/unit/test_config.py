from pathlib import Path

import pytest

from twopass_store.config import (
    ClusterConfig,
    RunConfig,
    load_config,
    parse_bytes,
    parse_length_nm,
    validated,
)
from twopass_store.errors import ConfigError

MINIMAL = 'store = "run.zarr"\n[ingest]\ntrajectories = ["a.xtc"]\n'


@pytest.mark.parametrize(
    ("text", "nm"), [("0.2", 0.2), ("0.2nm", 0.2), ("2A", 0.2), ("2 Å", 0.2), ("150 pm", 0.15), (0.2, 0.2)]
)
def test_length__is_read_in_the_units_of_the_field(text, nm):
    assert parse_length_nm(text) == nm


@pytest.mark.parametrize("text", ["", "2 feet", "-1", "nan", "inf", "0", "1e400", "2AA"])
def test_length__refuses_what_is_none(text):
    with pytest.raises(ValueError, match="is no length"):
        parse_length_nm(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1k", 1024), ("1KB", 1000), ("1KiB", 1024), ("1.5G", 3 << 29), ("4GiB", 4 << 30), (7, 7), ("12B", 12)],
)
def test_bytes__are_read_with_binary_and_decimal_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-4G", "4 GX", "lots", "1e999"])
def test_bytes__refuse_what_is_no_size(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_bytes(text)


def test_load_config__anchors_paths_at_the_file(tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    file = folder / "run.toml"
    file.write_text(
        'store = "../run.zarr"\n[ingest]\ntop = "t.pdb"\n'
        'trajectories = ["a/*.xtc", "/data/b.xtc", "example:x.xtc"]\n'
    )
    config = load_config(file)
    assert config.store == str(tmp_path / "run.zarr")
    assert config.ingest.trajectories == (f"{folder}/a/*.xtc", "/data/b.xtc", "example:x.xtc")
    assert config.ingest.top == f"{folder}/t.pdb"
    file.write_text('[ingest]\ntrajectories = "x.xtc"\n')
    assert load_config(file, store="other.zarr").store == f"{Path.cwd()}/other.zarr"


def test_load_config__overrides_win_and_take_toml_or_words(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(MINIMAL + "[cluster]\nn_clusters = 3\n")
    overrides = [
        "cluster.n_clusters=5",
        "cluster.linkage=ward",
        'cluster.select="name CA"',
        "ingest.stride=2",
    ]
    config = load_config(file, overrides=overrides)
    assert (config.cluster.n_clusters, config.cluster.linkage) == (5, "ward")
    assert (config.cluster.select, config.ingest.stride) == ("name CA", 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL + "[cluster]\nlinkag = 'ward'\n", ["cluster.linkag", "allowed are name, select,"]),
        (MINIMAL + "[cluster]\nlinkage = 'wards'\n", ["cluster.linkage", "'wards'", "'ward'", "'median'"]),
        (MINIMAL + "[clustering]\n", ["clustering", "cluster"]),
        (MINIMAL + "[cluster]\nn_clusters = 'few'\n", ["cluster.n_clusters", "'few'", "a whole number"]),
        (MINIMAL + "[cluster]\nn_clusters = 2\ncutoff = '2A'\n", ["n_clusters", "cutoff", "give one"]),
        (MINIMAL + "[cluster]\nstride = 2\nsubset_frames = 9\n", ["subset_frames", "stride", "give one"]),
        (MINIMAL + "[cluster]\ncutoff = 0.2\nlinkage = 'ward'\n", ["cutoff", "ward", "isn't an RMSD"]),
        (MINIMAL + "[cluster]\ncutoff = 0.2\nlinkage_input = 'rows'\n", ["cutoff", "rows", "not an RMSD"]),
        (MINIMAL + "[cluster]\nleader_frames = [1, 1]\n", ["leader_frames", "twice"]),
        (MINIMAL + "[cluster]\nmasses = 'm.txt'\n", ["masses", "mass_weighted"]),
        (MINIMAL + "[cluster]\nno_fit = true\nalign_to = 0\nalign_select = 'all'\n", ["no_fit", "align_to"]),
        (MINIMAL + "[cluster]\nalign_to = 0\n", ["align_to", "align_select", "give both"]),
        (MINIMAL + "[cluster]\nalign_select = 'all'\n", ["align_to", "align_select", "give both"]),
        (MINIMAL + "[cluster]\nalign_to = -1\nalign_select = 'all'\n", ["cluster.align_to", "-1"]),
        (MINIMAL + "[cluster]\nname = '../x'\n", ["cluster.name", "'../x'"]),
        (MINIMAL + "[assign]\nname = 'other'\n", ["assign.name", "other", "default"]),
        (
            MINIMAL + "[cluster]\nmethod = 'gromos'\ncutoff = '2A'\n[assign]\nnoise_cutoff = '1.5A'\n",
            ["assign.noise_cutoff", "cluster.cutoff", "cluster.rule nearest"],
        ),
        ('store = "x"\n', ["`ingest` is missing"]),
        ('store = "x"\n[ingest]\ntrajectories = []\n', ["[ingest]", "`trajectories`"]),
        ("store = \n", ["no valid TOML", "line 1"]),
    ],
)
def test_load_config__errors_name_the_key_and_what_is_allowed(tmp_path, text, words):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and "\n" not in message.rstrip("\n")
    for word in words:
        assert word in message


@pytest.mark.parametrize("override", ["cluster.n_clusters", "=5", "cluster.=5", "store.x=5"])
def test_load_config__refuses_malformed_overrides(tmp_path, override):
    file = tmp_path / "run.toml"
    file.write_text(MINIMAL)
    with pytest.raises(ConfigError):
        load_config(file, overrides=["store=y", override])


def test_load_config__missing_or_binary_file(tmp_path):
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(tmp_path / "binary.toml")


def test_configs_of_the_project__are_valid():
    for file in sorted((Path(__file__).parents[2] / "configs").glob("*.toml")):
        assert isinstance(load_config(file), RunConfig)


def test_leader_frames__take_text_and_lists():
    assert validated(ClusterConfig, {"leader_frames": "20, 25,65"}).leader_frames == (20, 25, 65)
    assert validated(ClusterConfig, {"leader_frames": [3, 1]}).leader_frames == (3, 1)
    with pytest.raises(ConfigError, match="leader_frames"):
        validated(ClusterConfig, {"leader_frames": "1,x"})


def test_metric__a_number_is_a_frame_and_a_text_a_path_beside_the_config(tmp_path):
    file = tmp_path / "run.toml"
    table = "[cluster]\nalign_select = 'name CA'\nmass_weighted = true\nmasses = 'm.txt'\nalign_to = {}\n"
    for written, meant in (
        ("7", 7),
        ("'7'", 7),
        ("'ref.pdb'", f"{tmp_path}/ref.pdb"),
        ("'./7'", f"{tmp_path}/7"),
    ):
        file.write_text(MINIMAL + table.format(written))
        config = load_config(file).cluster
        assert config.align_to == meant
        assert config.masses == f"{tmp_path}/m.txt"
    overridden = load_config(file, overrides=["cluster.align_to=12"]).cluster
    assert overridden.align_to == 12


def test_metric_options__are_those_given():
    assert ClusterConfig(select="all", n_clusters=2).metric_options() == {}
    given = ClusterConfig(align_to=0, align_select="all", mass_weighted=True).metric_options()
    assert given == {"align_to": 0, "align_select": "all", "mass_weighted": True}
