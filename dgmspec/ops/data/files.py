"""Sources that read files: tables, arrays and images.

A path is relative to the folder of the spec and stays inside it. `check` opens none of the files; they are read when
training starts, whole or, where they are large, block by block.
"""

from __future__ import annotations

import posixpath
from abc import ABC
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.op import Keywords
from dgmspec.core.types import Type
from dgmspec.ops.data.base import AbstractData, Binarize, Bits, White

Text = Annotated[str, Field(min_length=1, strict=True)]
Pairs = tuple[tuple[str, Text | Bits], ...]
TablePairs = tuple[tuple[str, Text | Annotated[tuple[Text, ...], Field(min_length=1)] | Bits], ...]

_PATH = Field(description="the file, relative to the folder of the spec and inside it")
_PARTS = Field(
    description="the file, relative to the folder of the spec and inside it; a folder of parts ends with `/`"
)

Stream = Annotated[bool, Field(strict=True)] | Literal["auto"]
_BINARIZE: Any = Field("none", description="how grey levels become 0 and 1, for variables declared `binary`")
_WHITE: Any = Field(
    None, description="the level that is surely 1: of unsigned numbers their greatest (255 of bytes), of fractions 1"
)
_STREAM: Any = Field("auto", description="read in blocks, `true`, or held whole, `false`; `auto` streams above 1 GiB")


class AbstractFile(AbstractData, ABC):
    """A source whose rows stand in a file at `path`; what they are is known when it is read.

    `binarize` makes bits of the grey levels of each variable of several numbers that is declared `binary`: 1 from half
    of `white` on (``threshold``), or with the level's share of it as probability, drawn once by the run's seed
    (``stochastic``), or again at each step of training (``dynamic``), where what is tested is drawn once.
    """

    path: Text = _PATH

    @property
    def reads_folder(self) -> bool:
        """Whether the path is that of a folder, all of whose files are read."""
        return False

    def columns(self) -> dict[str, Type] | None:
        return None

    def paths(self) -> Iterator[tuple[str, str]]:
        """Every path with the argument that gives it."""
        yield "path", self.path

    @model_validator(mode="after")
    def _stay_inside(self) -> AbstractFile:
        for argument, path in self.paths():
            if "://" in path or "\\" in path or path.startswith(("/", "~")) or path[1:2] == ":":
                _refuse(argument, f"`{path}` is not a relative path with forward slashes")
            if posixpath.normpath(path).split("/")[0] == "..":
                _refuse(argument, f"`{path}` leads outside the folder of the spec")
        return self


def _refuse(argument: str, message: str) -> None:
    help_ = (
        "write a path inside the folder of the spec; for a file elsewhere, name the data, `data d = …`, and give "
        "`--data d=PATH` to the command",
    )
    raise Refusal("DGM811", message, argument, label="outside", help=help_)


class AbstractNamed(AbstractFile, ABC):
    """A file whose arguments name variables: where their rows stand in it, or, ``x = binarize(stochastic)``, how the
    levels of one become bits, which goes before what `binarize` says of all."""

    variables: Annotated[tuple[tuple[str, Any], ...], Keywords()] = ()

    def places(self) -> tuple[tuple[str, Any], ...]:
        """The variables with a place of their own."""
        return tuple(pair for pair in self.variables if not isinstance(pair[1], Bits))

    def bits(self) -> Mapping[str, Bits]:
        return {name: given for name, given in self.variables if isinstance(given, Bits)}

    def mapping(self) -> Mapping[str, int | None]:
        return dict.fromkeys(name for name, _ in self.variables)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "variables": self.places(), "bits": self.bits()}


class AbstractTable(AbstractNamed, ABC):
    """A file of named columns. A variable takes the columns that the call gives it, in row-major order of its event.

    A variable that is not named takes the column of its name; one that is no scalar takes ``x[0]``, ``x[1]``, … .
    A path that ends with a slash is a folder of parts, which follow one another in alphabetical order.
    """

    path: Text = _PARTS
    variables: Annotated[TablePairs, Keywords()] = Field(
        (), description="its column, the list of its columns, or `binarize(…)`"
    )

    @property
    def reads_folder(self) -> bool:
        return self.path.endswith("/")

    def mapping(self) -> Mapping[str, int | None]:
        return {**super().mapping(), **{name: 1 if isinstance(v, str) else len(v) for name, v in self.places()}}


class Csv(AbstractTable):
    """A CSV file: UTF-8, the names of the columns in line 1, then one row a line, every field read a number.

    An empty field, a NaN, a text or a line of another length is refused with its line.
    """

    name: ClassVar[str] = "csv"
    examples: ClassVar[tuple[str, ...]] = (
        'csv("events.csv", x = ["px", "py"], c = ["mass"])',
        'csv("events.csv", delimiter = semicolon, stream = true)',
    )

    delimiter: Literal["comma", "semicolon", "tab", "space"] = Field("comma", description="what parts the fields")
    stream: Stream = _STREAM
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE


class Parquet(AbstractTable):
    """A Parquet file with columns of numbers, none of them null; only the columns in use are read.

    It streams by row groups: one is held at least, and the order of rows is mixed over as many as 256 MiB hold.
    """

    name: ClassVar[str] = "parquet"
    examples: ClassVar[tuple[str, ...]] = (
        'parquet("events.parquet", x = ["px", "py"], c = "mass")',
        'parquet("events/", x = ["px", "py"], stream = true)',
    )

    stream: Stream = _STREAM
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE


class Npz(AbstractNamed):
    """A file of `numpy.savez`: a variable takes the array whose key the call gives it, else the one of its name."""

    name: ClassVar[str] = "npz"
    examples: ClassVar[tuple[str, ...]] = (
        'npz("events.npz")',
        'npz("events.npz", x = "train", c = "labels")',
        'npz("digits.npz", binarize = dynamic, white = 16)',
    )

    variables: Annotated[Pairs, Keywords()] = Field((), description="the key of its array, or `binarize(…)`")
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE


class AbstractArrays(AbstractNamed, ABC):
    """A file for one variable, and a further file for each variable that the call names."""

    variables: Annotated[Pairs, Keywords()] = Field((), description="the path of its own file, or `binarize(…)`")

    def paths(self) -> Iterator[tuple[str, str]]:
        yield "path", self.path
        yield from self.places()


class Npy(AbstractArrays):
    """A file of `numpy.save`, (rows, *event), for the one variable that has no file of its own. Pickles are refused."""

    name: ClassVar[str] = "npy"
    examples: ClassVar[tuple[str, ...]] = ('npy("x.npy")', 'npy("x.npy", c = "labels.npy", stream = true)')

    stream: Stream = _STREAM
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE


class Idx(AbstractArrays):
    """An IDX file, the format of MNIST, compressed by gzip or not, for the one variable without a file of its own.

    A file of three dimensions (rows, height, width) gives images of one channel, [1, height, width]. A compressed one
    is held whole.
    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998.
    """

    name: ClassVar[str] = "idx"
    examples: ClassVar[tuple[str, ...]] = (
        'idx("train-images-idx3-ubyte.gz", label = "train-labels-idx1-ubyte.gz")',
        'idx("train-images-idx3-ubyte", flat = true, binarize = dynamic, stream = true)',
        'idx("train-images-idx3-ubyte", x = binarize(stochastic))',
    )

    flat: bool = Field(False, description="one vector a row, in place of an image")
    stream: Stream = _STREAM
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE


class Images(AbstractFile):
    """A folder of PNG images of one size and mode, in alphabetical order: levels 0..255, [channels, height, width].

    Grey images have one channel, with alpha two, RGB three, RGBA four; 16-bit grey has levels 0..65535, black and
    white 0..1. Names that begin with a dot are passed over; any other file is refused, and so are colours of 16 bits,
    a colour that stands for transparent, and animations, of which a part would be left out.
    """

    name: ClassVar[str] = "images"
    examples: ClassVar[tuple[str, ...]] = (
        'images("faces")',
        'images("faces", flat = true, stream = true)',
        'images("faces", binarize = dynamic)',
    )

    path: Text = Field(description="the folder, relative to that of the spec and inside it")
    flat: bool = Field(False, description="one vector a row, in place of an image")
    stream: Stream = _STREAM
    binarize: Binarize = _BINARIZE
    white: White | None = _WHITE

    @property
    def reads_folder(self) -> bool:
        return True
