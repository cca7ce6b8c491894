"""Build wheel and sdist, and test what they hold from an empty environment outside the repository.

python -m tools.dist_test                         the core, pinned versions: a short check
python -m tools.dist_test pinned cli plot numba   with extras: the demo and a part of the tests
python -m tools.dist_test lowest cli plot numba   the lowest versions that pyproject.toml allows
python -m tools.dist_test newest cli plot numba   the newest that the registry has
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from .lock import pinned
from .lowest import lowest
from .requirements import ROOT, required

PACKAGES = ("energyflow", "energyflow_backends", "energyflow_kernels")
TESTS = (
    "conftest.py", "oracle.py", "strategies.py", "energyflow/conftest.py",
    "energyflow/test_constants.py", "energyflow/test_distances.py", "energyflow/test_files.py",
    "energyflow/test_flows.py", "energyflow/test_reference.py", "energyflow/test_scores.py",
    "energyflow/test_trust_exact.py", "energyflow/test_trust_scales.py",
    "kernels/test_numba_rows.py", "kernels/test_numba_sliced.py",
)  # fmt: skip
RUNNERS = ("pytest", "hypothesis", "mpmath")  # of those tests, pinned whatever else is not

SMOKE = """
import sys
from importlib.resources import files
import numpy as np
import energyflow as ef
from energyflow import reference
for name in {packages}:
    package = __import__(name)
    assert package.__file__.startswith(sys.prefix), package.__file__
    assert files(name).joinpath("py.typed").is_file(), name
x, y = np.arange(6.0)[:, None], np.arange(4.0)[:, None] + 0.5
value, gradient = ef.sliced_energy_value_and_gradient(x, y)
np.testing.assert_allclose(value, reference.energy_distance(x, y), rtol=1e-12)
np.testing.assert_allclose(gradient, reference.energy_gradient(x, y), rtol=1e-12)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 1
for exponent in (0.5, 1.0, 1.5):
    expected = reference.energy_distance(x, y, exponent=exponent)
    np.testing.assert_allclose(ef.energy_distance(x, y, exponent=exponent), expected, rtol=1e-12)
for slicing in ("distance", "sobol", "orthogonal", "hadamard"):
    found = ef.sliced_energy_distance(x, y, n_projections=500, slicing=slicing, rng=0)
    np.testing.assert_allclose(found, ef.energy_distance(x, y), rtol=0.1)
result = ef.ParticleFlow(y, rng=0).run(x, 20, progress=False)
result.save("flow.npz")
again = ef.FlowResult.load("flow.npz")
np.testing.assert_array_equal(again.particles, result.particles)
assert ef.energy_test(x, y, n_resamples=99, rng=0).pvalue == 0.01
assert set(ef.__all__) <= set(dir(ef))
heavy = {{"torch", "jax", "matplotlib", "typer"}} & set(sys.modules)
assert not heavy, heavy
print("numpy", np.__version__, "python", sys.version.split()[0])
"""


def main() -> None:
    """Build, look inside, install, try."""
    kind, *extras = sys.argv[1:] or ["pinned"]
    if kind not in ("pinned", "lowest", "newest"):
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        wheel = build(here / "dist")
        python = environment(here, wheel, kind, extras)
        run(python, "-c", SMOKE.format(packages=PACKAGES), cwd=here)
        if "cli" in extras:
            run(python.with_name("energyflow"), "demo", "--steps", "50", "--out", "demo", cwd=here)
            run(python.with_name("energyflow"), "info", cwd=here)
        if extras:
            run_tests(here, python, strict=kind == "pinned")


def build(out: Path) -> Path:
    """The wheel, made from the sdist, which holds what it needs and nothing else."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=ROOT)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"):
        assert name in inside, f"{sdist.name} lacks {name}"
    unwanted = {name for name in inside if name.startswith(("tests", "docs", "benchmarks", "."))}
    assert unwanted <= {".gitignore"}, f"{sdist.name} holds {sorted(unwanted)[:5]}"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    info = next(top for top in tops if top.endswith(".dist-info"))
    assert tops == {*PACKAGES, info}, f"{wheel.name} holds {sorted(tops)}"
    for name in (*(f"{p}/py.typed" for p in PACKAGES), f"{info}/licenses/LICENSE"):
        assert name in names, f"{wheel.name} lacks {name}"
    assert not [n for n in names if "/tests/" in n or n.endswith((".pyc", ".so"))]
    for file in (sdist, wheel):
        print(f"{file.name}: {file.stat().st_size / 1e3:.0f} kB")
    return wheel


def environment(here: Path, wheel: Path, kind: str, extras: list[str]) -> Path:
    """The interpreter of a fresh environment with the wheel, its extras and what tests need."""
    run(sys.executable, "-m", "venv", here / "venv", cwd=here)
    python = here / "venv" / "bin" / "python"
    pins = pinned()
    own = [] if kind == "newest" else [str(pins[n]) for n in sorted(pins)]
    if kind == "lowest":
        own = lowest(extras)
    constraints = here / "constraints.txt"
    runners = [str(pins[name]) for name in RUNNERS] if extras else []
    constraints.write_text("\n".join([*own, *(r for r in runners if r not in own)]) + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "-c", constraints]
    run(*pip, "--upgrade", str(pins["pip"]), cwd=here)
    named = f"{wheel}[{','.join(extras)}]" if extras else wheel
    run(*pip, named, *runners, cwd=here)
    run(python, "-m", "pip", "check", cwd=here)
    names = sorted({Requirement(str(r)).name for r in required(extras)})
    run(python, "-m", "pip", "list", "--format", "freeze", cwd=here, only=names)
    return python


def run_tests(here: Path, python: Path, *, strict: bool) -> None:
    """A part of the suite, from a folder that holds nothing of the repository but these tests."""
    for name in TESTS:
        target = here / "suite" / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / name, target)
    shutil.copy(ROOT / "pyproject.toml", here / "suite")
    warnings = [] if strict else ["-W", "default"]  # of versions that were not chosen
    run(python, "-m", "pytest", "-q", "-m", "not slow", *warnings, cwd=here / "suite")


def run(*command: object, cwd: Path, only: list[str] | None = None) -> None:
    """Run, without this environment's paths; print what it prints, or the lines that are named."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    words = [str(word) for word in command]
    print("$", " ".join(w if "\n" not in w else "..." for w in words), flush=True)
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        check=False,
        text=True,
        stdout=subprocess.PIPE if only else None,
    )
    if only and done.stdout:
        lines = done.stdout.splitlines()
        print(" ".join(x for x in lines if x.partition("==")[0].replace("_", "-") in only))
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
