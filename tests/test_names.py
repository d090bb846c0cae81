"""The rule for names: what it lets pass is safe everywhere, and what it refuses has a readable proposal."""

import re
import shlex
import subprocess
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viad.config.names import (
    MAX_NAME_LENGTH,
    check_image_id,
    check_name,
    check_names,
    find_fault,
    make_safe_name,
    make_safe_names,
)
from viad.errors import ConfigError, DataError
from viad.report.page import convert_to_json

HOSTILE = [
    "b;touch PWNED;", "$(touch PWNED)", "`touch PWNED`", "a && touch PWNED", "a|b", "a>b", "a\nb", "a\x00b", "", " ",
    ".", "..", "../up", "a/b", "a\\b", "~", "-rf", "--help", "*", "?", "a b", "lid (new)", "a'b", 'a"b', "<b>x</b>",
    "x\u202ey", "CON", "nul.png", "Lpt1", "a..b", "x.lock", "head@{1}", "a:b", "a~1", "a^", "[a]", "${HOME}", "%PATH%",
    "\u00e4", "\u540d", "x.", "_x", "a" * 101, "\ud800",
]  # fmt: skip
READABLE = ["bottle", "01", "MT_Crack", "doubtful_33", "pcb-1", "v1.2", "A", "patchcore-elpv-256-s3341"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_and_the_proposal_is_not(name):
    with pytest.raises(ConfigError, match=r"dataset\.categories: the name .*Use letters"):
        check_name("dataset.categories", name)
    assert find_fault(make_safe_name(name)) is None


@pytest.mark.parametrize("name", READABLE)
def test_a_readable_name_stays(name):
    assert check_name("dataset.name", name) == name
    assert make_safe_name(name) == name


@pytest.mark.parametrize("name", [1, 1.5, None, True, ["a"]])
def test_a_name_that_yaml_does_not_read_as_text_has_to_be_quoted(name):
    with pytest.raises(ConfigError, match="put it in quotes"):
        check_name("dataset.categories", name)


@given(st.text())
def test_any_text_gets_a_name_that_is_safe_everywhere(text):
    name = make_safe_name(text)
    assert find_fault(name) is None
    assert len(name) <= MAX_NAME_LENGTH
    assert shlex.quote(name) == name
    assert quote(name, safe="") == name
    assert not set(name) & set("<>&\"'`\\/:*?| ")
    assert name in convert_to_json(name)


def test_git_accepts_what_the_rule_accepts():
    refs = "\n".join(f"refs/exps/{make_safe_name(name)}" for name in [*HOSTILE, *READABLE])
    for ref in refs.splitlines():
        subprocess.run(["git", "check-ref-format", ref], check=True)


def test_readable_proposals():
    assert make_safe_name("bottle cap") == "bottle_cap"
    assert make_safe_name("lid (new)") == "lid_new"
    assert make_safe_name("Dichtung größer") == "Dichtung_groer"
    assert make_safe_name("") == make_safe_name("名") == "unnamed"


def test_names_that_become_equal_are_numbered_and_safe_ones_keep_theirs():
    safe = make_safe_names(["bottle cap", "bottle_cap", "Bottle Cap", "lid"])
    assert safe["bottle_cap"] == "bottle_cap"
    assert safe["lid"] == "lid"
    assert sorted(safe.values()) == ["Bottle_Cap_2", "bottle_cap", "bottle_cap_3", "lid"]


@given(st.lists(st.text(), max_size=6))
def test_names_of_a_list_stay_different(texts):
    safe = make_safe_names(texts)
    assert len({name.lower() for name in safe.values()}) == len(set(texts))
    assert all(find_fault(name) is None for name in safe.values())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "no list"),
        ("a", "no list"),
        (None, "no list"),
        (["a", "b;"], "'b;'"),
        (["a", "A"], "'a' and 'A'"),
        (["a", "a"], "one"),
    ],
)
def test_lists_of_names_are_checked(names, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_names("dataset.categories", names)


@pytest.mark.parametrize("sample", ["../x", "a/../b", "/etc/x", "a//b", "", "a/./b", "a\nb", "a\x00b", "a\\b"])
def test_an_image_id_stays_in_its_folder(sample):
    with pytest.raises(DataError, match="no relative path"):
        check_image_id(sample)


@pytest.mark.parametrize("sample", ["test/broken_large/000", "part 3 (left)", "größe/1", "7"])
def test_ordinary_image_ids_pass(sample):
    assert check_image_id(sample) == sample
