from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from twopass_store import config

STAGES = ["Ingest", "Cluster", "Leaders", "Scan", "Recut", "Assign", "Summary", "Export"]
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
