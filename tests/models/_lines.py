"""A training plan that fits lines: fast, and with every moment within reach."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from energyflow.models import Stage, Trainer, Validation


class Lines:
    """Each stage fits a line of slope stage + 1; with warm starts all fit one of slope 1."""

    columns = ("validation", "distance")

    def __init__(self, n_stages: int = 3, n_steps: int = 20, **how) -> None:
        self.n_stages = n_stages
        self.n_steps = n_steps
        self.settings = {"model": "lines", "n_steps": n_steps}
        self.distances: list[float] = how.get("distances", [])
        self.at_step: Callable[[int, int], None] = how.get("at_step", lambda stage, step: None)
        self.scale: float = how.get("scale", 1.0)
        self.warm_start: bool = how.get("warm_start", False)
        self.rate: float = how.get("rate", 0.1)
        self.validation: Validation | None = how.get("validation")
        self.learned: list[nn.Module] = []
        self.total = torch.zeros(())

    def begin(self, stage: int, report) -> Stage:
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, float(self.total))

        def loss(network: nn.Module, step: int) -> Tensor:
            self.at_step(stage, step)
            slope = self.scale * (1 if self.warm_start else stage + 1)
            since = step + (self.n_steps * stage if self.warm_start else 0)
            x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * since
            return (network(x) - slope * x).square().mean()

        made = Stage(network, self.n_steps, loss, lambda step: self.rate)
        made.validation = self.validation
        return made

    def decide(self, allowance) -> dict[str, int]:
        return {"n_stages": int(max(1, min(self.n_stages, allowance.steps // self.n_steps)))}

    def adopt(self, decisions) -> None:
        self.n_stages = min(self.n_stages, decisions["n_stages"])

    def take(self, stage: int, network: nn.Module) -> bool:
        self.learned.append(network)
        return True

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        self.learned.append(network)
        self.total = self.total + network.weight.detach()[0, 0]
        return {"distance": self.distances[stage]} if self.distances else {}

    def state(self) -> dict[str, Tensor]:
        return {"total": self.total}

    def restore(self, networks, state) -> None:
        for weights in networks:
            self.learned.append(nn.Linear(1, 1, bias=False))
            self.learned[-1].load_state_dict(weights)
        self.total = state["total"]

    def weights(self, n_stages: int) -> dict[str, Tensor]:
        return {str(k): n.weight.detach() for k, n in enumerate(self.learned[:n_stages])}

    def draw(self, path: Path) -> None:
        path.write_bytes(b"")


def train(plan: Lines, **how) -> list:
    return Trainer(progress=False, **how).train(plan)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as handle:
        return list(csv.DictReader(handle))
