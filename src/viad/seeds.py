"""Random generators, each from the seed and a name of its own.

So a draw is the same whatever was drawn before it, and a new draw disturbs no other.
"""

import hashlib

import numpy as np


def derived_seed(seed: int, *names: object) -> int:
    """A 32-bit seed that depends on `seed` and on the names, in their order."""
    key = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")


def generator(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator for the use that the names describe."""
    return np.random.default_rng(derived_seed(seed, *names))
