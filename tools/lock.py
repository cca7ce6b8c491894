"""Pin in constraints.txt every distribution that pyproject.toml leads to, as installed here.

    python -m tools.lock            writes the file
    python -m tools.lock --check    says what is not pinned, and exits with 1

A pin that is there as a range stays one, if what is installed lies in it. What was installed by
hand, and nothing of ours asks for, is left out.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .requirements import ROOT, everything

FILE = ROOT / "constraints.txt"
OF_GPUS = ("nvidia-", "cuda-")  # what builds of torch for GPUs ask for, in versions of their own


def closure(roots: list[Requirement]) -> dict[str, str]:
    """Versions of all that the roots need on this machine, by canonical name."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, "") for root in roots]
    while waiting:
        requirement, of_extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of_extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name.startswith(OF_GPUS):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{requirement} is not installed: make all stamps first") from None
        found[name] = Version(installed.version).public
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(Requirement(line), extra) for line in installed.requires or []]
    return found


def pinned() -> dict[str, Requirement]:
    """The lines of the file, by canonical name."""
    lines = (line.split("#")[0].strip() for line in FILE.read_text().splitlines())
    parsed = [Requirement(line) for line in lines if line]
    return {canonicalize_name(r.name): r for r in parsed}


def main() -> None:
    """Write or check."""
    before, now = pinned(), closure(everything())
    if sys.argv[1:] == ["--check"]:
        missing = sorted(name for name in now if name not in before)
        if missing:
            raise SystemExit(f"constraints.txt does not pin {', '.join(missing)}: run `make lock`")
        return
    head = [line for line in FILE.read_text().splitlines() if line.startswith("#")]
    lines = []
    for name, version in sorted(now.items()):
        old = before.get(name)
        is_range = old is not None and not str(old.specifier).startswith("==")
        kept = is_range and old is not None and old.specifier.contains(version)
        lines.append(str(old) if kept else f"{name}=={version}")
    FILE.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
