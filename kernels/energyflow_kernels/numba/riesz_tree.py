"""Compiled sums of |z_i - z_j|**r over sorted points, by a tree of Chebyshev proxies.

A perfect binary tree halves the distinct sorted points by index; node k has the children 2k and
2k + 1. Each node owns p proxies, the Chebyshev points of its interval, that carry charges on the
way up and fields on the way down. Points and proxies lie in the same arrays, points first, so
that one routine, `_interact`, serves points with points, points with proxies and proxies with
proxies. Places of proxies are relative to the first point of their node, an exact number, so
that a cluster far narrower than its distance from zero loses no digits.

Reference: Fong and Darve, "The black-box fast multipole method", J. Comput. Phys. 228 (2009).
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np

from .compiler import compiled, inner
from .powers import power

# Two intervals meet through their proxies when the gap between them is at least this
# multiple of their widths.
SEPARATION = 0.6
# An error falls about by this factor with one more proxy (measured, at the separation above).
DECAY = 5.2
MAX_PROXIES = 24


@inner("reassoc", "contract", "nsz")
def _add_row(kernel, q, charge, pull):
    """Add q * kernel to the pulls of a block; return the field of the block's charges."""
    push = 0.0
    for i in range(kernel.shape[0]):
        push += charge[i] * kernel[i]
        pull[i] += q * kernel[i]
    return push


@inner()
def _interact(u, charge_u, field_u, shift_u, v, charge_v, field_v, shift_v, exponent, work):
    """Add the mutual fields of two blocks, the places u - shift_u all below v - shift_v.

    Returns the energy sum q_i q_j d_ij**exponent between them: each distance is the sum of those
    to the upper edge of the lower block, so that the energy follows from the two fields.
    """
    n_u = u.shape[0]
    n_v = v.shape[0]
    # Slices, because an index that Numba cannot prove non-negative keeps a loop from vectorising.
    pull = work[2, :n_u]
    for i in range(n_u):
        pull[i] = 0.0
    for j in range(n_v):
        distance = work[0, j * n_u : (j + 1) * n_u]
        z = v[j] - shift_v
        for i in range(n_u):
            distance[i] = z - (u[i] - shift_u)
    power(work[0, : n_u * n_v], exponent - 1.0, work[1, : n_u * n_v])
    edge = (u[0] if u[0] > u[n_u - 1] else u[n_u - 1]) - shift_u
    energy = 0.0
    for j in range(n_v):
        push = _add_row(work[1, j * n_u : (j + 1) * n_u], charge_v[j], charge_u, pull)
        field_v[j] += push
        energy += charge_v[j] * push * (v[j] - shift_v - edge)
    for i in range(n_u):
        field_u[i] -= pull[i]
        energy += charge_u[i] * pull[i] * (edge - (u[i] - shift_u))
    return energy


@inner("reassoc", "contract", "nsz")
def _interact_within(u, charge, field, exponent, work):
    """Add the mutual fields of the points of one leaf; return their energy."""
    n = u.shape[0]
    size = 0
    for j in range(1, n):
        row = work[0, size : size + j]
        for i in range(j):
            row[i] = u[j] - u[i]
        size += j
    power(work[0, :size], exponent - 1.0, work[1, :size])
    energy = 0.0
    size = 0
    for j in range(1, n):
        distance = work[0, size : size + j]
        kernel = work[1, size : size + j]
        q = charge[j]
        push = 0.0
        moment = 0.0
        for i in range(j):
            term = charge[i] * kernel[i]
            push += term
            moment += term * distance[i]
            field[i] -= q * kernel[i]
        field[j] += push
        energy += q * moment
        size += j
    return energy


@inner("contract")
def _add_moments(place, charge, start, count, origin, inverse, moments):
    """moments[k] += sum_i q_i T_k(t_i), t the place on the node's interval scaled to [-1, 1]."""
    p = moments.shape[0]
    for i in range(start, start + count):
        q = charge[i]
        t = (place[i] - origin) * inverse - 1.0
        before = q
        now = q * t
        twice = 2.0 * t
        moments[0] += before
        for k in range(1, p):
            moments[k] += now
            before, now = now, twice * now - before


@inner("contract")
def _add_series(place, field, start, count, origin, inverse, series):
    """field[i] += sum_k series[k] T_k(t_i), by Clenshaw's recurrence."""
    p = series.shape[0]
    for i in range(start, start + count):
        t = (place[i] - origin) * inverse - 1.0
        twice = 2.0 * t
        after = 0.0
        now = 0.0
        for k in range(p - 1, 0, -1):
            after, now = now, series[k] + twice * now - after
        field[i] += series[0] + t * now - after


@inner()
def _meet(z, first, end, place, charge, field, p, exponent, work):
    """Add the mutual fields of all pairs of leaves, far ones through proxies; return the energy.

    Two sibling nodes split, the wider one first, until each side is far from the other for its
    own width, when its proxies stand for it, or is a leaf, when its points do.
    """
    n = z.shape[0]
    n_leaves = first.shape[0] // 2
    energy = 0.0
    stack = np.empty(256, np.int64)  # pairs: two a level, and levels below 64
    for parent in range(1, n_leaves):
        stack[0] = 2 * parent
        stack[1] = 2 * parent + 1
        height = 1
        while height > 0:
            height -= 1
            a = stack[2 * height]
            b = stack[2 * height + 1]
            a_origin = z[first[a]]
            b_origin = z[first[b]]
            a_end = z[end[a] - 1]
            a_width = a_end - a_origin
            b_width = z[end[b] - 1] - b_origin
            reach = (b_origin - a_end) / SEPARATION
            a_far = a_width <= reach
            b_far = b_width <= reach
            split_a = not a_far and a < n_leaves
            split_b = not b_far and b < n_leaves
            if split_a and (not split_b or a_width >= b_width):
                stack[2 * height] = 2 * a
                stack[2 * height + 1] = b
                stack[2 * height + 2] = 2 * a + 1
                stack[2 * height + 3] = b
                height += 2
            elif split_b:
                stack[2 * height] = a
                stack[2 * height + 1] = 2 * b
                stack[2 * height + 2] = a
                stack[2 * height + 3] = 2 * b + 1
                height += 2
            else:
                # Few points are their own best proxies.
                a_proxies = a_far and end[a] - first[a] > p
                b_proxies = b_far and end[b] - first[b] > p
                low = slice(n + a * p, n + a * p + p) if a_proxies else slice(first[a], end[a])
                high = slice(n + b * p, n + b * p + p) if b_proxies else slice(first[b], end[b])
                # Each place is taken relative to an anchor that keeps differences exact.
                low_shift = b_origin if b_proxies and not a_proxies else 0.0
                high_shift = 0.0
                if a_proxies:
                    high_shift = a_origin - b_origin if b_proxies else a_origin
                energy += _interact(
                    place[low], charge[low], field[low], low_shift,
                    place[high], charge[high], field[high], high_shift,
                    exponent, work,
                )  # fmt: skip
    return energy


@compiled()
def signed_sums(z, q, exponent, p, leaf):
    """Field sum_j q_j sign(z_i - z_j) |z_i - z_j|**(r - 1) and energy sum_{i<j} q_i q_j |.|**r.

    z (n,) strictly increasing, q (n,) charges of any sign, 0 < exponent < 2, p >= 2 proxies
    a node, at most `leaf` points a leaf. Returns (field (n,), energy, doubt (n,)), where doubt
    sums the squares of the last Chebyshev coefficients that went into the field of a point: the
    error of the field is about sqrt(doubt) times the decay of one coefficient to the next.
    """
    n = z.shape[0]
    depth = 0
    while (n >> depth) >= leaf:
        depth += 1
    n_leaves = 1 << depth
    first = np.empty(2 * n_leaves, np.int64)
    end = np.empty(2 * n_leaves, np.int64)
    for level in range(depth + 1):
        for i in range(1 << level):
            first[(1 << level) + i] = (n * i) >> level
            end[(1 << level) + i] = (n * (i + 1)) >> level

    size = n + (2 * n_leaves * p if depth > 0 else 0)
    place = np.empty(size)
    charge = np.empty(size)
    field = np.zeros(size)
    for i in range(n):
        place[i] = z[i]
        charge[i] = q[i]
    work = np.empty((3, leaf * leaf))
    energy = 0.0
    for node in range(n_leaves, 2 * n_leaves):
        own = slice(first[node], end[node])
        energy += _interact_within(z[own], q[own], field[own], exponent, work)
    doubt = np.zeros(n)
    if depth == 0:
        return field, energy, doubt

    roots = np.empty(p)
    basis = np.empty((p, p))  # basis[a, k] = (2 - [k = 0]) / p T_k(root a)
    for a in range(p):
        angle = math.pi * (2 * a + 1) / (2 * p)
        roots[a] = math.cos(angle)
        for k in range(p):
            basis[a, k] = (1.0 if k == 0 else 2.0) / p * math.cos(k * angle)
    inverse = np.empty(2 * n_leaves)
    moments = np.empty(p)
    for node in range(2 * n_leaves - 1, 1, -1):
        origin = z[first[node]]
        width = z[end[node] - 1] - origin
        inverse[node] = 2.0 / width if width > 0.0 else 0.0
        proxy = n + node * p
        for a in range(p):
            place[proxy + a] = 0.5 * width * (1.0 + roots[a])
        for k in range(p):
            moments[k] = 0.0
        if node >= n_leaves:
            count = end[node] - first[node]
            _add_moments(place, charge, first[node], count, origin, inverse[node], moments)
        else:
            for child in (2 * node, 2 * node + 1):
                shift = origin - z[first[child]]
                _add_moments(place, charge, n + child * p, p, shift, inverse[node], moments)
        for a in range(p):
            total_charge = 0.0
            for k in range(p):
                total_charge += basis[a, k] * moments[k]
            charge[proxy + a] = total_charge

    energy += _meet(z, first, end, place, charge, field, p, exponent, work)

    last = np.zeros(2 * n_leaves)
    for node in range(2, 2 * n_leaves):
        proxy = n + node * p
        for k in range(p):
            coefficient = 0.0
            for a in range(p):
                coefficient += basis[a, k] * field[proxy + a]
            moments[k] = coefficient
        last[node] = last[node >> 1] + moments[p - 1] * moments[p - 1]
        origin = z[first[node]]
        if node >= n_leaves:
            for i in range(first[node], end[node]):
                doubt[i] = last[node]
            count = end[node] - first[node]
            _add_series(place, field, first[node], count, origin, inverse[node], moments)
        else:
            for child in (2 * node, 2 * node + 1):
                shift = origin - z[first[child]]
                _add_series(place, field, n + child * p, p, shift, inverse[node], moments)
    return field[:n], energy, doubt
