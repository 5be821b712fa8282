"""Random streams named by their purpose, so that one stream never shifts another."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["derive_seed", "generator", "seeded"]

_one_at_a_time = threading.RLock()


def derive_seed(*names: str | int) -> int:
    """Return a seed that depends on every name and on their order.

    Args:
        names: what the stream is for, e.g. ``(seed, "replicate", 0, "split")``.
    Returns:
        An integer in [0, 2^63).
    Example:
        >>> derive_seed(0, "split") == derive_seed(0, "split")
        True
        >>> derive_seed(0, "split") == derive_seed(0, "start images")
        False
    """
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*names: str | int) -> torch.Generator:
    """Return a CPU generator for the stream called ``names`` (draw on the CPU, then move: equal on every device)."""
    return torch.Generator().manual_seed(derive_seed(*names))


@contextmanager
def seeded(*names: str | int) -> Iterator[None]:
    """Run a block whose global random draws (initial weights, dropout) come from the stream called ``names``.

    The state of PyTorch's generators is afterwards what it was before. They belong to the whole process, so of several
    threads one at a time is in such a block.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # work on a CPU wakes no GPU
    with _one_at_a_time, torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(*names))
        yield
