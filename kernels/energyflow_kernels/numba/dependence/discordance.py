"""Sums over discordant pairs of points (x_i, y_i), by one pass for each bit of a rank.

A pair is discordant where x and y order it differently. Points come in the order of x, with their
ranks in y. A pass over one bit, from the highest, parts every node of points that agree in the
bits above into those with a 0 and those with a 1, each in the order of x: a pair is discordant
where one with a 1 comes before one with a 0, and it is met once, at the highest bit in which its
ranks differ. Masks take the place of branches, which could not be predicted.
"""

# mypy: disable-error-code="no-untyped-def"

from ..compiler import compiled, inner


@inner("contract")
def discordant_products(x, y, rank, scratch, ranks):
    """Sum of |x_i - x_j| |y_i - y_j| over the discordant pairs, each counted once.

    x (N,) is sorted, y (N,) in the order of the ranks 0 to N - 1, `rank` (N,) that of each point.
    scratch (4, N) and ranks (2, N) are overwritten.
    """
    n = x.size
    xs, ys, qs = scratch[0], scratch[1], ranks[0]
    xt, yt, qt = scratch[2], scratch[3], ranks[1]
    for k in range(n):
        xs[k], ys[k], qs[k] = x[k], y[rank[k]], rank[k]
    half = 1
    while 2 * half < n:
        half *= 2
    total = 0.0
    while half > 0 and n > 1:
        for low in range(0, n, 2 * half):
            middle = min(low + half, n)
            zero_place, one_place = low, middle
            count, sum_x, sum_y, sum_xy, node = 0.0, 0.0, 0.0, 0.0, 0.0  # of points with a 1
            for k in range(low, min(low + 2 * half, n)):
                u, v, q = xs[k], ys[k], qs[k]
                one = q >= middle
                mask, step = (1.0, 1) if one else (0.0, 0)
                uv = u * v
                node += (1.0 - mask) * (u * sum_y + v * sum_x - count * uv - sum_xy)
                place = one_place if one else zero_place
                xt[place], yt[place], qt[place] = u, v, q
                one_place += step
                zero_place += 1 - step
                count += mask
                sum_x += mask * u
                sum_y += mask * v
                sum_xy += mask * uv
            total += node
        xs, ys, qs, xt, yt, qt = xt, yt, qt, xs, ys, qs
        half //= 2
    return total


@compiled("contract")
def discordant_sums(x, y, rank, sums, scratch, ranks):
    """For each point, how many are discordant with it, and the sums of their x and of their y.

    Arguments as above; sums (N, 3) are written in the order of the ranks.
    """
    n = x.size
    xs, ys, qs = scratch[0], scratch[1], ranks[0]
    xt, yt, qt = scratch[2], scratch[3], ranks[1]
    for k in range(n):
        xs[k], ys[k], qs[k] = x[k], y[rank[k]], rank[k]
    sums[:] = 0.0
    half = 1
    while 2 * half < n:
        half *= 2
    while half > 0 and n > 1:
        for low in range(0, n, 2 * half):
            middle = min(low + half, n)
            high = min(low + 2 * half, n)
            zero_place, one_place = low, middle
            count, sum_x, sum_y = 0.0, 0.0, 0.0  # of points with a 1 so far
            for k in range(low, high):
                u, v, q = xs[k], ys[k], qs[k]
                one = q >= middle
                mask, step = (1.0, 1) if one else (0.0, 0)
                rest = 1.0 - mask
                sums[q, 0] += rest * count
                sums[q, 1] += rest * sum_x
                sums[q, 2] += rest * sum_y
                place = one_place if one else zero_place
                xt[place], yt[place], qt[place] = u, v, q
                one_place += step
                zero_place += 1 - step
                count += mask
                sum_x += mask * u
                sum_y += mask * v
            count, sum_x, sum_y = 0.0, 0.0, 0.0  # of points with a 0 to come
            for k in range(high - 1, low - 1, -1):
                u, v, q = xs[k], ys[k], qs[k]
                mask = 1.0 if q >= middle else 0.0
                rest = 1.0 - mask
                sums[q, 0] += mask * count
                sums[q, 1] += mask * sum_x
                sums[q, 2] += mask * sum_y
                count += rest
                sum_x += rest * u
                sum_y += rest * v
        xs, ys, qs, xt, yt, qt = xt, yt, qt, xs, ys, qs
        half //= 2
