"""What in the docs is made from code: `python tests/reference.py` writes it again."""

from pathlib import Path

from twopass_store import config, schema

__all__ = ["DOCS", "options_page", "store_page"]

DOCS = Path(__file__).parents[1] / "twopass_store" / "docs"

GROUPS = (
    ("/", "The ingested frames, and where they are from.", schema.INGESTED),
    ("/subsets/<key>/", "One for each range of frames, stride, atoms and metric.", schema.SUBSET),
    (
        "/subsets/<key>/linkage_<method>",
        "One for each tree; the suffix `_rows` where it was made from the rows of the matrix.",
        (schema.LINKAGE,),
    ),
    (
        "/clusterings/<name>/",
        "A cut of a tree, or leaders from outside, and the labels of all frames. Arrays that a clustering "
        "doesn't need are absent.",
        (
            *schema.CLUSTERING,
            *schema.FAITHFULNESS,
            *schema.METRIC,
            *schema.OUTSIDE,
            *schema.COVER,
            *schema.ASSIGNMENT,
            *schema.MARGIN,
        ),
    ),
    ("/scans/<key>/", "Figures of the cuts of one tree.", schema.SCAN),
)

HEAD = f"""# The store

A store is a Zarr v3 group, format {schema.FORMAT_VERSION}. Every array has `units` and `long_name`; a
complete one has the attribute `complete`. Arrays along `frame` always have the length of the trajectory,
filled with −1 or NaN where nothing is known yet. `/journal/` holds the plans and ledgers of the
stages: which chunks are finished, and their digests. It is not meant to be read by other programs.
"""


def store_page() -> str:
    """Render the page."""
    parts = [HEAD]
    for path, text, specs in GROUPS:
        rows = [
            f"| `{spec.name}` | {', '.join(spec.dims)} | {spec.dtype} | {spec.units} | {spec.long_name} |"
            for spec in specs
        ]
        table = ["| array | dimensions | type | units | meaning |", "|---|---|---|---|---|", *rows]
        parts.append(f"## `{path}`\n\n{text}\n\n" + "\n".join(table) + "\n")
    status = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in schema.LABEL_STATUS.items())
    parts.append(f"`label_status`: {status}.\n")
    return "\n".join(parts)


def options_page() -> str:
    """Write the reference page of all options, as Markdown."""
    lines = [
        "# Options",
        "",
        "The same names, values and defaults hold everywhere: as options of a command (`--noise-cutoff 2A`),",
        'as keys of a TOML file (`noise_cutoff = "2A"` in `[assign]`) and as keyword arguments in Python',
        '(`assign_frames("run.zarr", noise_cutoff="2A")`). Lengths are in nm and times in ps unless a unit',
        "is given. This page is made from the models in `twopass_store/config`.",
    ]
    for title, model in (
        ("ingest", config.IngestConfig),
        ("cluster", config.ClusterConfig),
        ("assign", config.AssignConfig),
        ("assign --leaders", config.LeadersConfig),
        ("scan", config.ScanConfig),
        ("recut", config.RecutConfig),
        ("summary", config.SummaryConfig),
        ("compare", config.CompareConfig),
        ("export", config.ExportConfig),
        ("export structures", config.StructuresConfig),
    ):
        lines += ["", f"## twopass {title}", "", str(model.__doc__), "", "| option | value | default | |"]
        lines.append("|---|---|---|---|")
        for option in config.options_of(model):
            written = option.written.replace("|", r"\|") or "on or off"
            values = option.default if isinstance(option.default, tuple) else (option.default,)
            default = ", ".join(str(value) for value in values if value is not None and value is not False)
            cells = (f"`{option.name}`", written, default, option.help.replace("|", r"\|"))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "options.md").write_text(options_page(), encoding="utf-8")
    (DOCS / "store.md").write_text(store_page(), encoding="utf-8")
