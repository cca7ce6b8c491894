"""The squared distance covariance as a combination of three sums over distances."""

from __future__ import annotations

Weights = tuple[float, float, float]


def covariance_weights(n: int, estimator: str) -> Weights:
    """Factors of sum a_ij b_ij, of sum a_i b_i and of a b, for n pairs and "V" or "U".

    a_ij and b_ij are distances, a_i and b_i their sums over j, a and b their sums over all.
    """
    if estimator == "U":
        return (
            1 / n / (n - 3),
            -2 / n / (n - 2) / (n - 3),
            1 / n / (n - 1) / (n - 2) / (n - 3),
        )
    return 1 / n**2, -2 / n**3, 1 / n**4
