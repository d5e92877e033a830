"""Scenarios of trivial bindings (B-…) and of rules with a before and an after (W-…): one case each, by its ID and title.

A case of B is a function before and after `CanonicalizeBindings`, or the message of an error; one of W is a rule and a function before
and after it. Where the after is None, nothing changes."""

import pathlib
import re

import pytest

import tenon
from tenon import dpl

TEXT = (pathlib.Path(__file__).resolve().parents[1] / "Fixtures/scenarios/bindings.txt").read_text(encoding="utf-8")


def cases(letter):
    """ID, and its sections by name, each text as it is written."""
    for part in re.split(r"^=== ", TEXT, flags=re.M)[1:]:
        head, *sections = re.split(r"^--- (\w+)\n", part, flags=re.M)
        if head.startswith(letter):
            yield pytest.param(dict(zip(sections[::2], sections[1::2])), id=head.strip())


def parse(text):
    return tenon.Module.parse(text)


def matches(found, expected, before):
    if expected.strip() == "unchanged":
        assert found == before
    else:
        assert found == parse(expected), f"found\n{found}\nexpected\n{parse(expected)}"
    found.verify()


@pytest.mark.parametrize("case", cases("B-"))
def test_bindings(case):
    before = parse(case["before"])
    if "error" in case:
        with pytest.raises(tenon.TenonError, match=case["error"].strip()):
            before.apply("CanonicalizeBindings")
        return
    found = before.apply("CanonicalizeBindings")
    matches(found, case["after"], before)
    assert found.apply("CanonicalizeBindings") == found
    if "names" in case:
        assert " ".join(e.name for e in found["main"].graph.bindings) == case["names"].strip()


@pytest.mark.parametrize("case", cases("W-"))
def test_rules(case):
    if "error" in case:
        with pytest.raises(tenon.TenonError, match=case["error"].strip()):
            dpl.PatternMatchingRewriter.from_text(case["rule"])
        return
    rewriter = dpl.PatternMatchingRewriter.from_text(case["rule"])
    if "second" in case:
        rewriter = rewriter | dpl.PatternMatchingRewriter.from_text(case["second"])
    before = parse(case["before"])
    matches(rewriter(before), case["after"], before)
