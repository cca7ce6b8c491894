"""Look the pinned versions up in the advisories of PyPI; a look-up that failed is no clean bill.

python -m tools.audit
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from .lock import pinned


def main() -> None:
    """Exit with 1 for advisories, and for what could not be looked up."""
    lines = [
        str(pin) if str(pin.specifier).startswith("==") else f"{name}=={version(name)}"
        for name, pin in pinned().items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = Path(folder) / "pinned.txt", Path(folder) / "found.json"
        wanted.write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            [
                sys.executable, "-m", "pip_audit", "--requirement", wanted, "--no-deps",
                "--disable-pip", "--progress-spinner", "off", "--format", "json",
                "--output", found,
            ],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        written = found.is_file() and found.stat().st_size
        entries = json.loads(found.read_text())["dependencies"] if written else []
    skipped = [entry["name"] for entry in entries if "skip_reason" in entry]
    if not entries or len(skipped) == len(entries):
        reason = entries[0]["skip_reason"] if entries else done.stderr.strip().split("\n")[-1]
        raise SystemExit(f"nothing was audited, no advisories are reached from here: {reason}")
    if skipped:
        raise SystemExit(f"not audited: {', '.join(skipped)}")
    bad = [entry for entry in entries if entry["vulns"]]
    for entry in bad:
        for advisory in entry["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no release yet"
            print(f"{entry['name']} {entry['version']}: {advisory['id']}, fixed in {fixed}")
    if bad:
        raise SystemExit(1)
    print(f"{len(entries)} pinned versions, no known vulnerability")


if __name__ == "__main__":
    main()
