"""What depends on the code is made again only when the code changes."""

import hashlib
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
CACHE = TOP / ".cache"


def digest(*files: Path) -> str:
    """Of these files, the library, Python's version and those of the packages."""
    packages = [TOP / "energyflow", TOP / "backends", TOP / "kernels"]
    sources = [path for package in packages for path in sorted(package.rglob("*.py"))]
    found = hashlib.sha256(sys.version.encode())
    for path in (*files, TOP / "constraints.txt", *sources):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
