"""Names of action units: one spelling inside, every common one accepted at the door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import UsageError
from fauds.facs import AUS, au_name, au_number, facts


@given(st.sampled_from(AUS), st.sampled_from(["{}", "AU{}", "au{}", "AU_{}", "AU{}_r", " AU {} "]))
def test_common_spellings_become_the_one_name(name, form):
    number = int(name[2:])
    assert au_name(form.format(number)) == name
    assert au_name(form.format(f"{number:02d}")) == name
    assert au_number(name) == number


@pytest.mark.parametrize("spelling", ["AU03", "AU99", "", "smile", "12.5", "AU", 0])
def test_other_spellings_are_refused_with_what_is_known(spelling):
    with pytest.raises(UsageError, match="AU01"):
        au_name(spelling)


def test_every_known_unit_has_its_facts():
    assert set(facts()) == set(AUS)
    assert all(unit["muscles"] and unit["changes"] for unit in facts().values())
