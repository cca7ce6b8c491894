"""What files that are as dense as can be take to read, and that no file is unpickled."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import string
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from fuzz.targets import TARGETS, Target

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")

SIZE = 2**18
MOST = 64  # bytes for each byte of content
MOST_TOML = 160
BYTES = np.random.default_rng(0).integers(256, size=SIZE, dtype=np.uint8)
NAMES = [
    "".join(k) for k in itertools.islice(itertools.product(string.ascii_letters, repeat=3), 30000)
]
PROBLEM = b'{"operator":{"kind":"linear","matrix":[%s]},"noise":{"kind":"gaussian","std":1}}'


def saved(save: Callable[..., object], *arrays: np.ndarray, **how: object) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **how)
    return file.getvalue()


def idx() -> bytes:
    return struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 256, 512) + BYTES.tobytes()


def png() -> bytes:
    from PIL import Image

    image = Image.fromarray(np.zeros((300, 300, 3), np.uint8))
    return saved(partial(image.save, format="PNG"))


def idx_alone() -> dict[str, bytes]:
    labels = b"\0\0\x08\x01\0\0\0\x02\0\1"
    return {
        "t10k-images-idx3-ubyte": idx(), "train-labels-idx1-ubyte": labels,
        "t10k-labels-idx1-ubyte": labels,
    }  # fmt: skip


LARGE_IDX = Target("train-images-idx3-ubyte.gz", list, TARGETS["idx"].read, idx_alone)
LARGE_IMAGES = Target("a.png", list, TARGETS["image"].read, lambda: {"b.png": png()})
# reader, content of the file, bytes that it stands for
DENSE: dict[str, tuple[Target, Callable[[], bytes], int]] = {
    "bytes": (TARGETS["npy"], lambda: saved(np.save, BYTES), SIZE),
    "signed bytes": (TARGETS["npy"], lambda: saved(np.save, BYTES.view(np.int8)), SIZE),
    "bits": (TARGETS["npy"], lambda: saved(np.save, BYTES > 100), SIZE),
    "float16": (TARGETS["npy"], lambda: saved(np.save, BYTES.astype("f2")), 2 * SIZE),
    "archive": (TARGETS["npz"], lambda: saved(np.savez, BYTES.view(np.int8)), SIZE),
    "compressed": (
        TARGETS["npz"], lambda: saved(np.savez_compressed, np.zeros(SIZE, np.int8)), SIZE,
    ),
    "members": (
        TARGETS["npz"], lambda: saved(np.savez, **dict.fromkeys(NAMES[:1000], BYTES[:0])), SIZE,
    ),
    "a column": (TARGETS["csv"], lambda: b"1\n" * (SIZE // 2), SIZE),
    "a row": (TARGETS["csv"], lambda: b"1," * (SIZE // 2) + b"1", SIZE),
    "no numbers": (TARGETS["csv"], lambda: b"," * SIZE + b"\n1\n", SIZE),
    "a table's column": (TARGETS["table"], lambda: b"1\n" * (SIZE // 2), SIZE),
    "a table's row": (TARGETS["table"], lambda: b"1," * (SIZE // 2) + b"1", SIZE),
    "a table's gaps": (TARGETS["table"], lambda: b"a,b\n1,1\n" + b",\n" * (SIZE // 2), SIZE),
    "a table's names": (
        TARGETS["table"], lambda: b"%s\n%s1" % (",".join(NAMES).encode(), b"1," * 29999), SIZE,
    ),
    "a table's last cell": (TARGETS["table"], lambda: b"1\n" * (SIZE // 2) + b"x", SIZE),
    "IDX": (LARGE_IDX, lambda: gzip.compress(idx()), SIZE),
    "CIFAR": (TARGETS["cifar"], lambda: bytes(3073 * 85), SIZE),
    "image": (LARGE_IMAGES, png, 300 * 300 * 3),
    "JSON lists": (TARGETS["problem"], lambda: PROBLEM % (b"[1]," * (SIZE // 4) + b"[1]"), SIZE),
    "JSON tables": (TARGETS["problem"], lambda: PROBLEM % (b"{}," * (SIZE // 3) + b"{}"), SIZE),
    "JSON keys": (
        TARGETS["problem"], lambda: b"{%s}" % b",".join(b'"%s":{}' % n.encode() for n in NAMES),
        SIZE,
    ),
    "settings": (
        TARGETS["settings-flow"], lambda: b'{"shape":[' + b"{}," * (SIZE // 3) + b"{}]}", SIZE,
    ),
    "log": (
        TARGETS["log"], lambda: TARGETS["log"].seeds()[0][:33] + b"0,1,,,\n" * (SIZE // 7), SIZE,
    ),
    "TOML tables": (TARGETS["toml"], lambda: "".join(f"[{n}]\n" for n in NAMES).encode(), SIZE),
    "TOML lists": (TARGETS["toml"], lambda: b"a=[" + b"{}," * (SIZE // 3) + b"]", SIZE),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_memory_is_a_multiple_of_the_content(name) -> None:
    target, make, size = DENSE[name]
    content = make()
    target(target.seeds()[0] if target.seeds() else content)  # imports take memory too
    tracemalloc.start()
    target(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    most = MOST_TOML if name.startswith("TOML") else MOST
    assert peak < most * max(size, len(content)) + 2**19


class Intruder:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def pickles() -> list[bytes]:
    import torch

    objects = np.array([Intruder()], dtype=object)
    return [
        pickle.dumps(Intruder()), saved(partial(np.save, allow_pickle=True), objects),
        saved(np.savez, objects), saved(np.savez, x=objects, particles=objects, state=objects),
        saved(lambda file: torch.save({"a": Intruder()}, file)),
    ]  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_pickles_are_refused(name) -> None:
    for content in pickles():
        refused = not TARGETS[name](content)
        assert refused or name in ("log", "spread")  # which start afresh


def test_the_intruder_would_be_seen() -> None:
    with pytest.raises(pytest.fail.Exception, match="a pickle was loaded"):
        pickle.loads(pickles()[0])
