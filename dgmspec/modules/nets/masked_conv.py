"""The twin of `masked_conv`: the chain of convolutions that `conv` is, its kernels stored with their zeros."""

from __future__ import annotations

from dgmspec.modules.nets.convolutional import apply
from dgmspec.modules.nets.wavefront import MASKED
from dgmspec.modules.twin import NetTwin
from dgmspec.ops.nets import MaskedConv

TWINS = {MaskedConv: NetTwin(apply, MASKED)}
