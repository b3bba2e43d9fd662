"""How a model is trained and sampled: optimisers, schedules, validation, stopping, and the settings of both blocks."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dgmspec.core.op import AbstractOp
from dgmspec.core.samplers import AbstractSampler
from dgmspec.ops.data import AbstractData

Count = Annotated[int, Field(ge=1, strict=True)]
Steps = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Rate = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Part = Annotated[float, Field(gt=0, lt=1, strict=True)]


class AbstractOptimizer(AbstractOp, ABC):
    """A rule that moves the weights along a gradient."""

    role: ClassVar[str] = "optimizer"


class Adam(AbstractOptimizer):
    """Adam: steps of size `lr` along the running mean of the gradient over the root of its running square.

    `betas` are the decay rates of the two means; `weight_decay` adds that multiple of the weights to the gradient.
    Kingma and Ba, Adam, ICLR 2015.
    """

    name: ClassVar[str] = "adam"
    examples: ClassVar[tuple[str, ...]] = ("adam(lr = 1e-3)", "adam(3e-4, betas = [0.9, 0.99], weight_decay = 1e-5)")

    lr: Rate = Field(1e-3, description="step size")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="decay rates of the two running means")
    weight_decay: NotNegative = Field(0.0, description="multiple of the weights added to the gradient")


class AdamW(AbstractOptimizer):
    """Adam with decoupled weight decay: the weights also shrink by ``lr · weight_decay`` of themselves each step.

    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    name: ClassVar[str] = "adamw"
    examples: ClassVar[tuple[str, ...]] = ("adamw(lr = 1e-3)", "adamw(1e-3, betas = [0.9, 0.95], weight_decay = 0.1)")

    lr: Rate = Field(1e-3, description="step size")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="decay rates of the two running means")
    weight_decay: NotNegative = Field(0.01, description="share of the weights, times `lr`, taken off each step")


class Sgd(AbstractOptimizer):
    """Stochastic gradient descent with momentum: ``v ← momentum · v + g``, ``w ← w - lr · v``.

    Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum, ICML 2013.
    """

    name: ClassVar[str] = "sgd"
    examples: ClassVar[tuple[str, ...]] = ("sgd(lr = 0.01)", "sgd(0.1, momentum = 0.9, weight_decay = 1e-4)")

    lr: Rate = Field(1e-2, description="step size")
    momentum: Decay = Field(0.0, description="share of the last step that is kept")
    weight_decay: NotNegative = Field(0.0, description="multiple of the weights added to the gradient")


class AbstractSchedule(AbstractOp, ABC):
    """The learning rate over the run, as a factor of the optimiser's `lr`."""

    role: ClassVar[str] = "schedule"


class Constant(AbstractSchedule):
    """The full learning rate after `warmup` steps of linear rise."""

    name: ClassVar[str] = "constant"
    examples: ClassVar[tuple[str, ...]] = ("constant(warmup = 200)",)

    warmup: Steps = Field(0, description="steps of linear rise from 0")


class Cosine(AbstractSchedule):
    """After `warmup` steps of linear rise, half a cosine from the full rate down to `final` times it at the last step.

    Loshchilov and Hutter, SGDR, ICLR 2017.
    """

    name: ClassVar[str] = "cosine"
    examples: ClassVar[tuple[str, ...]] = ("cosine", "cosine(warmup = 200, final = 0.01)")

    warmup: Steps = Field(0, description="steps of linear rise from 0")
    final: Share = Field(0.0, description="factor of the learning rate at the last step")


class Linear(AbstractSchedule):
    """After `warmup` steps of linear rise, a straight line from the full rate down to `final` times it."""

    name: ClassVar[str] = "linear"
    examples: ClassVar[tuple[str, ...]] = ("linear", "linear(warmup = 100, final = 0.1)")

    warmup: Steps = Field(0, description="steps of linear rise from 0")
    final: Share = Field(0.0, description="factor of the learning rate at the last step")


class AbstractValidation(AbstractOp, ABC):
    """What the loss is measured on while training."""

    role: ClassVar[str] = "validation"


class Holdout(AbstractValidation):
    """A random part of the data, by the seed, that training never sees and the loss is read on `every` so many steps.

    Another part, `test`, is set aside and read once, when training has ended; it is as large as `fraction` where it is
    not given. Toy sets, whose density is known, are tested on fresh points, so that nothing is set aside.
    """

    name: ClassVar[str] = "holdout"
    examples: ClassVar[tuple[str, ...]] = ("holdout(0.1)", "holdout(fraction = 0.1, every = 200, test = 0.1)")

    fraction: Part = Field(0.1, description="part of the rows held out for validation")
    every: Count = Field(500, description="steps between two readings")
    test: Part | None = Field(None, description="part of the rows kept for the end; `fraction` where it is not given")


class AbstractStop(AbstractOp, ABC):
    """When training ends before its last step."""

    role: ClassVar[str] = "stop"


class Patience(AbstractStop):
    """Training ends after `n` readings of the validation loss in a row without a new best one."""

    name: ClassVar[str] = "patience"
    examples: ClassVar[tuple[str, ...]] = ("patience(10)", "patience(n = 5)")

    n: Count = Field(description="readings without improvement")


class AbstractBlock(AbstractOp, ABC):
    """A block of settings; its fields are the settings it may hold."""

    role: ClassVar[str] = "block"


class Train(AbstractBlock):
    """The settings of a `train` block. How long to train is said once, by `steps` or by `epochs`."""

    name: ClassVar[str] = "train"
    examples: ClassVar[tuple[str, ...]] = (
        "train M { data = two_moons; steps = 5_000; batch = 512; optimizer = adam(lr = 1e-3) }",
        "train M { data = digits; epochs = 20; schedule = cosine(warmup = 200); clip = 1.0; ema = 0.999 }",
        "train M { data = digits; steps = 9; precision = bf16; validate = holdout(0.1); stop = patience(9); seed = 1 }",
        "train M { data = digits; steps = 9; batch = 4_096; accumulate = 8 }",
        "train M { data = two_moons; steps = 100; standardize = true }",
        "train M { data = digits; steps = 100; drop = 0.1 }",
        "train M { data = two_moons; steps = 10_000; compile = true }",
        'train M { data = csv("events.csv"); epochs = 20; weights = "weight" }',
    )

    data: AbstractData | None = Field(None, description="where the rows come from: a `data` name or a source")
    weights: Annotated[str, Field(min_length=1, strict=True)] | None = Field(
        None, description="the column of the data that says how much each row counts"
    )
    steps: Count | None = Field(None, description="optimiser steps")
    epochs: Count | None = Field(None, description="passes over the training rows")
    batch: Count = Field(256, description="rows of one step, over all processes")
    optimizer: AbstractOptimizer = Field(Adam(), description="rule that moves the weights")
    schedule: AbstractSchedule | None = Field(None, description="learning rate over the run")
    clip: Rate | None = Field(None, description="largest norm of a gradient; longer ones are scaled down to it")
    ema: Decay | None = Field(None, description="decay of the moving average of weights that is evaluated and kept")
    accumulate: Count = Field(1, description="parts of a batch whose gradients are summed, to need less memory")
    precision: Literal["float32", "float64", "bf16", "fp16"] = Field(
        "float32", description="number format of the arithmetic; with bf16 and fp16 that of nets alone"
    )
    compile: Annotated[bool, Field(strict=True)] = Field(
        False, description="the loss and its gradients through torch.compile, one graph, traced at the first step"
    )
    standardize: Annotated[bool, Field(strict=True)] = Field(
        False,
        description="real variables enter less their mean, over their standard deviation, of the training rows",
    )
    drop: Part | None = Field(
        None,
        description="share of rows whose context the net of a noising arrow or of an `ode` does not see, for "
        "`guidance` of samples",
    )
    validation: AbstractValidation | None = Field(
        None, alias="validate", description="what the loss is measured on while training"
    )
    stop: AbstractStop | None = Field(None, description="when to end early; needs `validate`")
    seed: Seed = Field(0, description="source of every random draw of the run")


class Sample(AbstractBlock):
    """The settings of a `sample` block. Without `method` the model's own direction is run. The name of a `given`
    variable may stand there with its value, such as ``y = 3``; beside a sampler along a noising arrow that of the
    observed variable too, some of its coordinates `free`, which keeps the others: ``x = [0.5, free]``."""

    name: ClassVar[str] = "sample"
    examples: ClassVar[tuple[str, ...]] = (
        "sample M { count = 1000; seed = 0 }",
        "sample M { method = ddim(steps = 50); guidance = 2 }",
    )

    method: AbstractSampler | None = Field(None, description="another way to draw than the model's own direction")
    guidance: NotNegative | None = Field(
        None, description="how far beyond the context's own prediction a sampler goes, away from that without it"
    )
    count: Annotated[int, Field(ge=1, le=10**9, strict=True)] = Field(1000, description="how many samples")
    seed: Seed = Field(0, description="source of every random draw")
