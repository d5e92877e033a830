"""The scenarios of Tests/Fixtures/scenarios/scenarios.txt through the Python interface."""

import ctypes
import pathlib
import re

import pytest

import tenon
from tenon._handle import new
from tenon._lib import lib
from tenon.errors import check

PATH = pathlib.Path(__file__).resolve().parents[1] / "Fixtures/scenarios/scenarios.txt"


def scenarios():
    for block in re.split(r"^=== ", PATH.read_text(encoding="utf-8"), flags=re.M)[1:]:
        scenario, _, rest = block.partition("\n")
        sections = {}
        for part in re.split(r"^--- ", rest, flags=re.M)[1:]:
            head, _, text = part.partition("\n")
            name, _, word = head.partition(" ")
            sections[name] = (word, text)
        yield scenario, sections


CASES = list(scenarios())


def value(graph, name):
    """The value that a function calls by that name; "-" is the first literal."""
    for expr in (*graph.parameters, *graph.bindings):
        if name == "-":
            for operand in expr.args:
                if operand.kind == "constant":
                    return operand
        elif expr.name == name:
            return expr
    raise AssertionError(f"no value %{name}")


def matches(pattern, graph, expr):
    handle = new(lib.tenon_pattern_parse, pattern.encode())
    try:
        match = new(lib.tenon_pattern_match, handle, graph._handle, expr._id)
        lib.tenon_match_release(match or None)
        return bool(match)
    finally:
        lib.tenon_pattern_release(handle)


def context_matches(source, graph):
    handle = new(lib.tenon_pattern_context_parse, source.encode())
    out = ctypes.c_void_p()
    try:
        check(lib.tenon_pattern_context_match(handle, graph._handle, ctypes.byref(out)))
        lib.tenon_match_release(out)
        return bool(out.value)
    finally:
        lib.tenon_pattern_context_release(handle)


@pytest.mark.parametrize("scenario, sections", CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def test_scenario(scenario, sections):
    module = tenon.Module.parse(sections["module"][1])
    if "match" in sections:
        graph = module["main"].graph
        for line in sections["match"][1].splitlines():
            name, answer, pattern = line.split(" ", 2)
            assert matches(pattern, graph, value(graph, name)) == (answer == "yes"), line
        return
    if "context" in sections:
        answer, _, source = sections["context"][1].partition("\n")
        assert context_matches(source, module["main"].graph) == (answer == "yes")
        return

    def change():
        if "rules" in sections:
            word, rules = sections["rules"]
            return module.fuse(rules, bind_constants=word != "parameters", annotate_codegen=word == "annotate")
        if "rewrite" in sections:
            return module.rewrite(sections["rewrite"][1])
        return module.apply(sections["pass"][0])

    if "error" in sections:
        with pytest.raises(tenon.TenonError, match=re.escape(sections["error"][1].strip())):
            change()
        assert module == tenon.Module.parse(sections["module"][1])
    else:
        changed = change()
        assert changed == tenon.Module.parse(sections["expected"][1]), str(changed)


def test_all_cases_were_read():
    assert len(CASES) > 35
