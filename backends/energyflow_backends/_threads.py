"""How many threads our own loops may use."""


def usable_threads() -> int:
    """ENERGYFLOW_NUM_THREADS, else the CPUs that this process may use.

    Raises
    ------
    ValueError
        If ENERGYFLOW_NUM_THREADS is not a positive integer.
    """
    from energyflow_kernels.numba import threads  # concurrent.futures, which not all need

    return threads.usable_threads()
