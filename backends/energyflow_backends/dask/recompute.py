"""Dask arrays once more, from tasks of their own that wait for others.

`dask.graph_manipulation.bind` is meant for this, but leaves what lies beneath reshaped and sliced
arrays as it is (seen in 2026.8): their chunks would stay in memory from the first use to the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
from dask._task_spec import Alias, DataNode, Task, TaskRef, convert_legacy_graph
from dask.base import clone_key
from dask.core import flatten
from dask.graph_manipulation import checkpoint
from dask.highlevelgraph import HighLevelGraph

from .._typing import Native


def recomputed(arrays: Sequence[Native], after: Sequence[Native]) -> list[Native]:
    """Arrays of the same numbers, which are computed anew once all of `after` are there.

    Data that lie in the graph, such as those of persisted arrays, are used as they are.
    """
    barrier = checkpoint(*after)
    return [_recomputed(array, barrier) for array in arrays]


def _recomputed(array: Native, barrier: Any) -> Native:
    nodes = convert_legacy_graph(array.__dask_graph__())
    new = {
        key: clone_key(key, barrier.key)
        for key, node in nodes.items()
        if not isinstance(node, DataNode)
    }
    tasks: dict[Any, Any] = {}
    for key, node in nodes.items():
        if key not in new:
            tasks[key] = node
        elif node.dependencies & new.keys():
            tasks[new[key]] = node.substitute(new, key=new[key])
        else:  # one of the first
            tasks[new[key]] = Task(new[key], _first_of, node, TaskRef(barrier.key))
    for key in flatten(array.__dask_keys__()):
        if key not in new:
            tasks[clone_key(key, barrier.key)] = Alias(clone_key(key, barrier.key), key)
    name = clone_key(array.name, barrier.key)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[barrier])
    return da.Array(graph, name, array.chunks, meta=array._meta)


def _first_of(block: Any, done: None) -> Any:
    return block
