"""Explicit Runge-Kutta methods as data: what a check needs to know of a solver, and what its loop runs.

A step of size h from (t, y) takes ``k_i = f(t + c_i h, y + h Σ_j a_ij k_j)`` for the s stages and moves to
``y + h Σ_i b_i k_i``. With k_{s+1}, the slope at the new point, which is the next step's k_1, ``h Σ_i e_i k_i``
estimates the error and ``y + h Σ_i m_i k_i`` is the solution in the middle of the step.

References: Hairer, Nørsett and Wanner, Solving ordinary differential equations I, 2nd edition, sections II.1 to II.6;
Bogacki and Shampine, A 3(2) pair of Runge-Kutta formulas, 1989; Dormand and Prince, A family of embedded Runge-Kutta
formulae, 1980; Shampine, Some practical Runge-Kutta formulas, 1986 (its middle); Tsitouras, Runge-Kutta pairs of order
5(4) satisfying only the first column simplifying assumption, 2011; Prince and Dormand, High order embedded Runge-Kutta
formulae, 1981 (RK8(7)13M; its middle here is the least-norm solution of the order conditions up to order 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["TABLEAUX", "Tableau"]

Row = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """An explicit method of s stages: `a` holds the rows of stages 2 to s, `b` the s weights.

    `error` and `middle` weigh s + 1 slopes; they are empty where the method estimates no error. `embedded` is the order
    of the method that the error is measured against.
    """

    name: str
    order: int
    a: tuple[Row, ...]
    b: Row
    error: Row = ()
    embedded: int = 0
    middle: Row = ()
    c: Row = field(init=False)
    """The stages' places in the step: each is the sum of its row, and none lies beyond the end by rounding."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "c", (0.0, *(_place(sum(row)) for row in self.a)))

    @property
    def stages(self) -> int:
        """Evaluations of the field in one step."""
        return len(self.b)

    @property
    def adaptive(self) -> bool:
        """Whether it estimates its own error."""
        return bool(self.error)


def _place(total: float) -> float:
    """A sum of coefficients that is 1 but for rounding is 1."""
    return 1.0 if abs(total - 1) < 1e-12 else total


def _pair(name: str, order: int, a: tuple[Row, ...], b: Row, other: Row, middle: Row = ()) -> Tableau:
    """A method with an embedded one of the order below, of weights `other`.

    Without a middle of its own it has that of the cubic through both ends and their slopes, of order 3.
    """
    other = (*other, *(0.0,) * (len(b) + 1 - len(other)))
    error = tuple(mine - its for mine, its in zip((*b, 0.0), other, strict=True))
    if not middle:
        middle = (b[0] / 2 + 1 / 8, *(weight / 2 for weight in b[1:]), -1 / 8)
    return Tableau(name, order, a, b, error, order - 1, middle)


_EULER: Final = Tableau("euler", 1, (), (1.0,))
_MIDPOINT: Final = Tableau("midpoint", 2, ((1 / 2,),), (0.0, 1.0))
_HEUN: Final = _pair("heun", 2, ((1.0,),), (1 / 2, 1 / 2), (1.0,))
_RK4: Final = Tableau("rk4", 4, ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
_BOSH3: Final = _pair("bosh3", 3, ((1 / 2,), (0.0, 3 / 4)), (2 / 9, 1 / 3, 4 / 9), (7 / 24, 1 / 4, 1 / 3, 1 / 8))
_DOPRI5: Final = _pair(
    "dopri5",
    5,
    (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
    (
        6025192743 / 60171106304,
        0.0,
        51252292925 / 130801643196,
        -2691868925 / 90256659456,
        187940372067 / 3189068634112,
        -1776094331 / 39487288512,
        11237099 / 470086768,
    ),
)
_TSIT5: Final = _pair(
    "tsit5",
    5,
    (
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
    ),
    (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
    (
        0.09468075576583945,
        0.009183565540343254,
        0.4877705284247616,
        1.234297566930479,
        -2.7077123499835256,
        1.866628418170587,
        1 / 66,
    ),
    (
        0.10741235230096871,
        0.01135625,
        0.39560903056045305,
        -0.34475214352593553,
        1.3161853649581645,
        -1.0170608542936508,
        1 / 32,
    ),
)
_DOPRI8: Final = _pair(
    "dopri8",
    8,
    (
        (1 / 18,),
        (1 / 48, 1 / 16),
        (1 / 32, 0.0, 3 / 32),
        (5 / 16, 0.0, -75 / 64, 75 / 64),
        (3 / 80, 0.0, 0.0, 3 / 16, 3 / 20),
        (
            29443841 / 614563906,
            0.0,
            0.0,
            77736538 / 692538347,
            -28693883 / 1125000000,
            23124283 / 1800000000,
        ),
        (
            16016141 / 946692911,
            0.0,
            0.0,
            61564180 / 158732637,
            22789713 / 633445777,
            545815736 / 2771057229,
            -180193667 / 1043307555,
        ),
        (
            39632708 / 573591083,
            0.0,
            0.0,
            -433636366 / 683701615,
            -421739975 / 2616292301,
            100302831 / 723423059,
            790204164 / 839813087,
            800635310 / 3783071287,
        ),
        (
            246121993 / 1340847787,
            0.0,
            0.0,
            -37695042795 / 15268766246,
            -309121744 / 1061227803,
            -12992083 / 490766935,
            6005943493 / 2108947869,
            393006217 / 1396673457,
            123872331 / 1001029789,
        ),
        (
            -1028468189 / 846180014,
            0.0,
            0.0,
            8478235783 / 508512852,
            1311729495 / 1432422823,
            -10304129995 / 1701304382,
            -48777925059 / 3047939560,
            15336726248 / 1032824649,
            -45442868181 / 3398467696,
            3065993473 / 597172653,
        ),
        (
            185892177 / 718116043,
            0.0,
            0.0,
            -3185094517 / 667107341,
            -477755414 / 1098053517,
            -703635378 / 230739211,
            5731566787 / 1027545527,
            5232866602 / 850066563,
            -4093664535 / 808688257,
            3962137247 / 1805957418,
            65686358 / 487910083,
        ),
        (
            403863854 / 491063109,
            0.0,
            0.0,
            -5068492393 / 434740067,
            -411421997 / 543043805,
            652783627 / 914296604,
            11173962825 / 925320556,
            -13158990841 / 6184727034,
            3936647629 / 1978049680,
            -160528059 / 685178525,
            248638103 / 1413531060,
            0.0,
        ),
    ),
    (
        14005451 / 335480064,
        0.0,
        0.0,
        0.0,
        0.0,
        -59238493 / 1068277825,
        181606767 / 758867731,
        561292985 / 797845732,
        -1041891430 / 1371343529,
        760417239 / 1151165299,
        118820643 / 751138087,
        -528747749 / 2220607170,
        1 / 4,
    ),
    (
        13451932 / 455176623,
        0.0,
        0.0,
        0.0,
        0.0,
        -808719846 / 976000145,
        1757004468 / 5645159321,
        656045339 / 265891186,
        -3867574721 / 1518517206,
        465885868 / 322736535,
        53011238 / 667516719,
        2 / 45,
    ),
    (
        0.040736722706026816,
        0.0,
        0.0,
        0.0,
        0.0,
        0.1456987718926983,
        0.23498887102372665,
        0.0772544637985218,
        0.015755162207449592,
        -0.01516935657865917,
        -5.237877533702608e-05,
        0.00026258124186003597,
        0.000262581241856969,
        0.00026258124185603917,
    ),
)

TABLEAUX: Final[dict[str, Tableau]] = {
    tableau.name: tableau for tableau in (_EULER, _MIDPOINT, _HEUN, _RK4, _BOSH3, _DOPRI5, _TSIT5, _DOPRI8)
}
"""The methods by the names that specs use."""
