"""One anomaly map from the log-likelihoods of several scales, for the flows that give an image's patches one each."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def joint_map(logs: Sequence[Tensor]) -> Tensor:
    """The negative logarithm of the mean likelihood over scales, higher where more anomalous.

    Papers take the mean of exp(log) and turn it around, which orders positions alike, but exp loses in
    float32 what lies far out: great anomalies would tie.

    Args:
        logs: log-likelihoods (B, 1, h_i, w_i) of each scale, the finest first; coarser ones are interpolated to it.

    Returns:
        (B, 1, h_0, w_0), each image by itself.
    """
    size = logs[0].shape[-2:]
    same = [log if log.shape[-2:] == size else F.interpolate(log, size=size, mode="bilinear") for log in logs]
    return math.log(len(logs)) - torch.stack(same).logsumexp(dim=0)
