"""In a notebook: training shows its progress, an interrupt keeps its work, figures are pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.site, pytest.mark.timeout(300)]
TOP = Path(__file__).parents[2]

TRAIN = """
import numpy as np
from energyflow.models import MLP, FlowMatching

x = np.random.default_rng(0).normal(size=(200, 2))
small = {"n_steps": 300, "n_rounds": 2, "architecture": MLP(width=8, depth=1)}
model = FlowMatching(**small).fit(x)
"""
INTERRUPT = """
import os, signal

def interrupt(stage, step, losses):
    if step >= 100:
        os.kill(os.getpid(), signal.SIGINT)  # as the button does

model = FlowMatching(**small)
try:
    model.fit(x, callbacks=interrupt)
except KeyboardInterrupt:
    print("interrupted")
print(model.sample(4, rng=0).shape)
"""
PICTURE = """
from energyflow import metrics

metrics.pair_plot(x, truth=x[0])
"""


@pytest.fixture(scope="module")
def outputs() -> list[list[Any]]:
    """Of the three cells."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the group docs")
    pytest.importorskip("ipykernel", reason="ipykernel is in the group docs")
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell(text) for text in (TRAIN, INTERRUPT, PICTURE)])
    paths = os.pathsep.join(str(TOP / part) for part in (".", "backends", "kernels"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        patch.delenv("MPLBACKEND", raising=False)
        nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def text_of(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_training_shows_stages_time_left_and_rate(outputs: list[list[Any]]) -> None:
    shown = text_of(outputs[0])
    assert "2/2 stages [" in shown or "2.00/2 stages [" in shown
    assert "steps/s" in shown
    assert "loss" in shown


def test_an_interrupt_keeps_what_was_learned(outputs: list[list[Any]]) -> None:
    shown = text_of(outputs[1])
    assert "interrupted" in shown
    assert "(4, 2)" in shown


def test_a_figure_is_shown_once(outputs: list[list[Any]]) -> None:
    pictures = [output for output in outputs[2] if "image/png" in output.get("data", {})]
    assert len(pictures) == 1
