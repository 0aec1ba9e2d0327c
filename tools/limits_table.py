# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of docs/limits.md anew from the code; with --check say whether they are as the code has them.

Run by `make docs` and by the unit tests, with PYTHONPATH=.build/live.
"""

from __future__ import annotations

import pathlib
import sys

from ansible_collections.mainline.vps.plugins.module_utils.core.beancounters import BEANCOUNTERS, BTRFS, DIR, IMAGE, KEYS, PLAIN, UNSUPPORTED, V1, V2, Fidelity

PAGE = pathlib.Path(__file__).parents[1] / "docs/limits.md"
BEGIN, END = "<!-- made by tools/limits_table.py -->\n", "<!-- end -->\n"


def cell(fidelity: Fidelity) -> str:
    """One word, by what, and what differs."""
    by = f": `{fidelity.by}`" if fidelity.by else ""
    return f"**{fidelity.word}**{by}{f'; {fidelity.why}' if fidelity.why else ''}" if fidelity.word != UNSUPPORTED else f"unsupported: {fidelity.why}"


def table(names: list[str], *columns: str) -> str:
    """The rows of some keys."""
    lines = [f"| key | what | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for name in names:
        key = KEYS[name]
        cells = [cell(key.on[column]) for column in columns]
        lines.append(f"| `{name}` | {key.about}; {key.kind.unit} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tables() -> str:
    """All of them."""
    own = [name for name, key in KEYS.items() if name not in BEANCOUNTERS and V2 in key.on]
    disk = [name for name, key in KEYS.items() if BTRFS in key.on]
    return (
        f"## Memory, CPU, processes, I/O\n\n{table(own, V2, V1)}\n## Disk, by the storage of the VPS\n\n{table(disk, BTRFS, IMAGE, PLAIN, DIR)}\n"
        f"## OpenVZ's user beancounters\n\n{table(list(BEANCOUNTERS), V2, V1)}"
    )


def main() -> int:
    """0 where the page is as it should be in the end."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    wanted = f"{head}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        print(f"{PAGE} is not as the code has it; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
