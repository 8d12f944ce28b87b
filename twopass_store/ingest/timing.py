"""What the user should see of the times of files and runs: gaps, repeats, steps back, other spacings."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..config import IngestConfig, count, format_time
from .runs import Part, Timed
from .systems import listed

__all__ = ["remarks_on_times"]

SAME_SPACING = 0.01  # how far a multiple of a spacing may be off an integer
LIKE_SPACING = 0.1  # relative difference up to which two spacings give frames the same weight


def remarks_on_times(timed: Sequence[Timed], config: IngestConfig) -> Iterator[str]:
    """Say what times show that may not be meant, and what was done about it."""
    is_by_time = config.uses_times or config.from_list is not None
    by_file: dict[str, list[Part]] = {}
    for part in sorted((part for one in timed for part in one.parts), key=lambda part: part.start):
        by_file.setdefault(part.info.path, []).append(part)
    files = list(by_file.values())
    yield from _seams(files)
    if config.run_pattern is None and config.from_list is None:
        yield from _nested(files)
    yield from _repeats(timed, config, is_by_time=is_by_time)
    yield from _spacings(timed, config, "runs" if is_by_time else "files")
    empty = [one.name for one in timed if is_by_time and not any(map(len, one.choice.kept))]
    if empty:
        yield f"nothing is kept of {listed(empty)}: outside of the times asked for"


def _seams(files: Sequence[Sequence[Part]]) -> Iterator[str]:
    """Say where time goes back within files, of which these are the parts."""
    backwards = [parts[0].name for parts in files if parts[0].is_backwards]
    if backwards:
        yield f"time runs backwards in {listed(backwards)}: frames stay in the order of the file"
    found = [parts for parts in files if len(parts) > 1]
    if found:
        one, other = found[0][:2]
        n_places = sum(len(parts) - 1 for parts in found)
        more = f", the first of {n_places:,} such places in {count(len(found), 'file')}"
        how = "goes back" if other.first < one.last else "stands still"
        yield (
            f"time {how} within {one.name} at frame {other.start}, from {one.written(one.last)} to "
            f"{other.written(other.first)}{more if n_places > 1 else ''}"
        )


def _nested(files: Sequence[Sequence[Part]]) -> Iterator[str]:
    """Say which files begin within the one before, though nothing groups them; replicas begin together."""
    found = [
        (after[0], before[-1])
        for before, after in pairwise(files)
        if before[-1].is_steps == after[0].is_steps and before[-1].first < after[0].first <= before[-1].last
    ]
    if found:
        after, before = found[0]
        more = f", and {count(len(found) - 1, 'other file')} likewise" if len(found) > 1 else ""
        yield (
            f"{after.name} begins at {after.written(after.first)}, within {before.name}{more}: if these are "
            "parts of one run, group them with `run_pattern` or a list, or frames count twice"
        )


def _repeats(timed: Sequence[Timed], config: IngestConfig, *, is_by_time: bool) -> Iterator[str]:
    """Say which frames come at times that come again."""
    repeated = [
        (part.name, n)
        for one in timed
        for part, n in zip(one.parts, one.choice.n_repeated, strict=False)
        if n
    ]
    if not repeated:
        return
    times, done = "a later part of the run covers again", "the later ones are kept (`overlap` later)"
    if not is_by_time:
        times, done = "come again in the same file", "both are kept (`overlap` later keeps the later ones)"
    elif config.overlap == "keep":
        done = "both are kept"
    frames = count(sum(n for _, n in repeated), "frame")
    yield f"{frames} of {listed([name for name, _ in repeated])} at times that {times}: {done}"
    n_beyond = sum(one.choice.n_beyond for one in timed)
    if n_beyond and is_by_time and config.overlap != "keep":
        yield (
            f"{n_beyond:,} of these lie after the end of the later part: the run is taken to have gone on "
            "from where that begins (`overlap` keep keeps them)"
        )


def _spacings(timed: Sequence[Timed], config: IngestConfig, what: str) -> Iterator[str]:
    """Say where frames don't lie as far apart as asked for, or differently far apart."""
    known = [(one.choice.spacing, one.name) for one in timed if one.choice.spacing > 0]
    if config.every is not None:
        uneven = [
            (spacing, name)
            for spacing, name in known
            if abs(config.every / spacing - round(config.every / spacing)) > SAME_SPACING
            or config.every < spacing * (1 - SAME_SPACING)
        ]
        if uneven:
            yield (
                f"the frames of {listed([name for _, name in uneven])} are {format_time(uneven[0][0])} "
                f"apart, of which {format_time(config.every)} is no multiple: the first in each such "
                "interval is kept"
            )
    kept = [(one.choice.kept_spacing, one.name) for one in timed if one.choice.kept_spacing > 0]
    (least, near), (most, far) = min(kept, default=(0.0, "")), max(kept, default=(0.0, ""))
    if most > least * (1 + LIKE_SPACING):
        yield (
            f"frames of {near} are {format_time(least)} apart, those of {far} {format_time(most)}: {what} "
            "with closer frames weigh more in populations (`every` evens that out)"
        )
