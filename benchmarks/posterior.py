"""How good samples of posteriors are: known ones, and images.

Writes posterior.csv and posterior.md; experiments that are not run keep their rows.
"""

from __future__ import annotations

from pathlib import Path

from .posterior_images import EXPERIMENTS as IMAGES
from .posterior_known import EXPERIMENTS as KNOWN
from .rows import command, shown, write


def main() -> None:
    experiments = KNOWN | IMAGES
    parser = command("posterior", __doc__, experiments)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--material", type=Path, help="folder with the slices train/ and test/")
    arguments = parser.parse_args()
    for name in arguments.names or experiments:
        if name == "superresolution" and arguments.material is None:
            print("superresolution is left out: it needs --material")
            continue
        given = {"material": arguments.material} if name == "superresolution" else {}
        rows = shown(experiments[name](arguments.seed, arguments.quick, arguments.out, **given))
        write(arguments.out / "posterior.csv", "Posteriors", rows)


if __name__ == "__main__":
    main()
