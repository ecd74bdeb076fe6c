"""Run every bench, or those that are named, and print one table: `python -P -m tests.bench [NAME …]`.

Status 1 when a goal was missed, 2 when nothing can be measured.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence

from backend.doctor import bytecode
from tests.bench.result import Result, table

BENCHES = ("app", "commands", "modules", "supervisor", "following", "convert")
"""Modules of this package with a `measure`, in the order of the table"""


def main(names: Sequence[str]) -> int:
    """Measure what is named, or everything."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"There is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}\n")
        return 2
    missing = bytecode.lacking()
    if missing:
        sys.stderr.write(
            f"The byte code of {len(missing)} modules is missing or older than they are, e.g. {missing[0]}\n"
            f"  Every start would compile them anew, and each number come out about twice too high.\n"
            f"  Make it with: {bytecode.remedy(missing)}\n"
        )
        return 2
    results: list[Result] = []
    for name in names or BENCHES:
        began = time.monotonic()
        results += importlib.import_module(f"tests.bench.{name}").measure()
        sys.stderr.write(f"{name}: measured in {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(table(results) + "\n")
    return 0 if all(result.is_met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
