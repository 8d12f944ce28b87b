import re
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from reference import options_page
from twopass_cli.main import COMMANDS as COMMANDS_OF_TWOPASS
from twopass_store import config
from twopass_store.errors import ConfigError

STAGES = ["Ingest", "Cluster", "Leaders", "Scan", "Recut", "Assign", "Summary", "Export", "Structures"]
# Arguments of their own in Python.
POSITIONAL = {"Ingest": {"trajectories"}, "Summary": {"name"}}


def scalars(annotation) -> set[Any]:
    """Types of the single values that an annotation holds."""
    if get_origin(annotation) is Literal:
        return {type(each) for each in get_args(annotation)}
    if get_origin(annotation) is Annotated:
        return scalars(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, tuple):
        return {kind for each in get_args(annotation) if each is not ... for kind in scalars(each)}
    return {annotation}


@pytest.mark.parametrize("stage", STAGES)
def test_keyword_arguments__are_the_fields_of_the_model(stage):
    model = getattr(config, f"{stage}Config")
    given = get_type_hints(getattr(config, f"{stage}Options"))
    assert set(given) | POSITIONAL.get(stage, set()) == set(model.model_fields)
    for name, annotation in given.items():
        several = {kind for each in scalars(annotation) for kind in scalars_of_sequence(each)}
        assert scalars(model.model_fields[name].annotation) <= several, name


def scalars_of_sequence(annotation) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(scalars, inner))


COMMANDS = {
    "ingest": "Ingest",
    "cluster": "Cluster",
    "assign": "Assign",
    "scan": "Scan",
    "recut": "Recut",
    "summary": "Summary",
    "compare": "Compare",
    "export": "Export",
}


@pytest.mark.parametrize(("command", "stage"), COMMANDS.items())
def test_command_line__takes_the_names_and_defaults_of_the_model(command, stage):
    options = {each.name: each for each in COMMANDS_OF_TWOPASS[command].built().params}
    for option in config.options_of(getattr(config, f"{stage}Config")):
        parameter = options[option.name]
        if option.name != "trajectories":
            assert f"--{option.name.replace('_', '-')}" in parameter.opts
            assert parameter.help
        default = list(option.default) or None if isinstance(option.default, tuple) else option.default
        assert str(parameter.default) == str(default), option.name
        assert all(choice in parameter.metavar for choice in option.choices)


@pytest.mark.parametrize("stage", ["Ingest", "Cluster", "Assign"])
def test_toml__takes_the_names_and_defaults_of_the_model(tmp_path, stage):
    file = tmp_path / "run.toml"
    file.write_text('store = "s.zarr"\n[ingest]\ntrajectories = "a.xtc"\n')
    read = getattr(config.load_config(file), stage.lower())
    assert type(read) is getattr(config, f"{stage}Config")
    for option in config.options_of(type(read)):
        if option.name != "trajectories":
            assert getattr(read, option.name) == option.default


def test_reference_page__is_current():
    """Made by `python tests/reference.py`."""
    page = files("twopass_store") / "docs" / "options.md"
    assert page.read_text() == options_page()


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        ("Cluster", {"n_clusters": "0"}, "`n_clusters` = '0': must be at least 1 or 'auto'"),
        ("Cluster", {"n_clusters": "few"}, "`n_clusters` = 'few': must be a whole number or 'auto'"),
        ("Cluster", {"faithfulness": 1.5}, "`faithfulness` = 1.5: must be at most 1"),
        ("Cluster", {"no_fit": "maybe"}, "`no_fit` = 'maybe': must be true or false"),
        ("Cluster", {"cutoff": "far"}, "`cutoff` = 'far': is no length"),
        ("Run", {"store": "s", "ingest": 3}, "`ingest` = 3: must be a section of options"),
        ("Ingest", {"trajectories": "a", "image": "half"}, "`image` = 'half': must be none, whole or anchor"),
        ("Cluster", {"linkag": "ward"}, "unknown option `linkag`; allowed are name, select"),
        ("Ingest", {"trajectories": ["a", 3]}, "`trajectories` = 3: must be text"),
    ],
)
def test_mistakes__are_explained_in_words(model, values, words):
    with pytest.raises(ConfigError) as caught:
        config.validated(getattr(config, f"{model}Config"), values)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [{}, [[]], -1, 1e30, "?", "", float("nan")], ids=repr)
def test_mistakes__are_never_explained_in_the_words_of_pydantic(value):
    said = ""
    for model in (config.IngestConfig, config.ClusterConfig, config.ScanConfig, config.ExportConfig):
        for option in config.options_of(model):
            try:
                config.validated(model, {option.name: value})
            except ConfigError as error:
                said += f"{error}\n"
    assert not re.search("Input|valid (?!TOML)|Value error|should", said), said
