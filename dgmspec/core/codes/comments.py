"""Family 15x: comments that allow a warning."""

from dgmspec.core.code import Code

_HALF = """dgm 1
model M {{
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z {{{}
        actnorm
        permute(reverse)
        coupling(affine, mask = half, net = mlp(8))
        actnorm
    }}
}}
"""
_REASON = "  # dgm: allow DGM501 coordinate 1 is a label"

CODES: tuple[Code, ...] = (
    Code(
        "DGM150",
        "warning",
        "a permission that nothing needs",
        "`# dgm: allow CODE reason` stands on, or alone above, a line that its code is reported on.",
        "A permission that outlives its warning would hide the next one. Comments are judged only where the whole "
        "text checks without errors, because an error keeps later checks from running.",
        "dgm 1\nparam a = 1  # dgm: allow DGM501 no longer needed\n",
        "dgm 1\nparam a = 1\n",
    ),
    Code(
        "DGM151",
        "warning",
        "a permission without a reason",
        "`# dgm: allow CODE reason` says why the warning is accepted.",
        "Who reads the text next must know whether the reason still holds. The warning stays silent meanwhile.",
        _HALF.format("  # dgm: allow DGM501"),
        _HALF.format(_REASON),
    ),
    Code(
        "DGM152",
        "warning",
        "a permission that cannot be read",
        "A comment that begins with `dgm:` reads `# dgm: allow CODE reason`, with the code of a warning or a note.",
        "A misspelled permission allows nothing, and an error is never silenced: the text means nothing then.",
        "dgm 1\nparam a = 1  # dgm: allow DGM302 it trains anyway\n",
        "dgm 1\nparam a = 1  # it trains\n",
    ),
)
