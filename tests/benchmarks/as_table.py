"""JSON lines of a benchmark as a Markdown table: ``python bench_rmsd.py | python as_table.py n_atoms …``.

The arguments are the columns, in order, as keys of the JSON objects (``a.b`` looks into an object in an
object); all keys of the first line where there are none. Lines that lack the first column are left out.
"""

import json
import sys
from typing import Any


def value_of(record: dict[str, Any], column: str) -> Any:
    """Look a dotted key up; None where it is missing."""
    found: Any = record
    for key in column.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def main() -> None:
    """Read standard input, write standard output."""
    records = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    columns = sys.argv[1:] or list(records[0])
    rows = [[value_of(record, column) for column in columns] for record in records]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        if row[0] is not None:
            print("| " + " | ".join("" if value is None else str(value) for value in row) + " |")


if __name__ == "__main__":
    main()
