"""How many threads our own loops may use."""


def usable_threads() -> int:
    """ENERGYFLOW_NUM_THREADS, else the CPUs that this process may use.

    Raises
    ------
    ValueError
        ENERGYFLOW_NUM_THREADS is not a positive integer.
    """
    from energyflow_kernels import numba_threads  # concurrent.futures, which not all need

    return numba_threads.usable_threads()
