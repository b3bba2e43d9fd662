"""Family 8xx, data as they are met: shapes, values and sources that only a run can see."""

from dgmspec.core.code import Code

CODES: tuple[Code, ...] = (
    Code(
        "DGM851",
        "error",
        "data of another shape than the variable",
        "Every column has one row a sample, and rows of the shape that its variable declares.",
        "A density on real[2] has no value at three numbers, and columns of unequal length pair no samples.",
        wrong_command="An array of shape (1000, 3) given for a variable declared `real[2]`.",
    ),
    Code(
        "DGM852",
        "error",
        "a value outside the variable's support",
        "Every value of a column is a finite number in the support that its variable declares, and still is when it is "
        "read in the precision that the model computes in. The weight of a row is a finite number from 0 up, and some "
        "row's is positive.",
        "The density is zero or undefined there: one such row makes the likelihood of the whole set infinite or NaN.",
        wrong_command="An array holding NaN, or 17 given for a variable declared `integer(0..16)[64]`.",
    ),
    Code(
        "DGM853",
        "error",
        "data that cannot be had",
        "A source exists, takes the arguments it is given, and gives a column for every data variable.",
        "What is missing cannot be made up.",
        wrong_command="Arrays for `x` alone where the model declares `observe x` and `given c`.",
    ),
    Code(
        "DGM854",
        "warning",
        "a column whose spread drowns",
        "Within the range of a column of real numbers lie a thousand numbers, at least, of the precision that the "
        "model computes in.",
        "Of values such as 1e9 ± 1 `float32` keeps one or two numbers: what is trained is the grid, not the data.",
        wrong_command="A column of seconds since 1970 over an hour, given for a variable declared `real`.",
    ),
)
