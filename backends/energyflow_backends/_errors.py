"""Errors with more than a message, and the one for values that are not finite."""

from __future__ import annotations


class EnergyflowError(Exception):
    """Base class of the errors that energyflow defines itself."""


class BackendUnavailable(EnergyflowError):
    """A backend that was chosen by name cannot take the arrays at hand.

    Attributes
    ----------
    name : str
        The backend that was chosen.
    reason : str
        Why it cannot compute with them.
    """

    def __init__(self, name: str, reason: str, message: str | None = None) -> None:
        super().__init__(message or f"backend {name!r} cannot be used: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.name, self.reason, str(self))


class NonFiniteValue(ArithmeticError):
    """The value is not finite: the data hold NaN or infinity, or the sum overflows."""
