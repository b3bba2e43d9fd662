"""The closed list of codes: every wrong example gives its code, every right one is clean."""

import pytest

import dgmspec
from dgmspec.core.codes import CODES, Code


@pytest.mark.parametrize("code", [c for c in CODES.values() if c.wrong], ids=lambda c: c.number)
def test_the_wrong_example_shows_the_code_and_the_right_one_is_clean(code: Code) -> None:
    wrong = dgmspec.diagnose(code.wrong).diagnostics
    assert code.number in {d.code for d in wrong}, [str(d) for d in wrong]
    right = dgmspec.diagnose(code.right).diagnostics
    assert not right, [str(d) for d in right]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.number)
def test_every_code_explains_itself(code: Code) -> None:
    assert code.title and len(code.rule.split()) > 3 and len(code.reason.split()) > 3
    assert code.wrong or code.wrong_command
