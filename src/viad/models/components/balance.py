"""How a supervised model composes its batches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Balance:
    """How a supervised model wants its epochs: of every batch so many anomalous images, and so many batches."""

    anomalous: int
    steps: int
