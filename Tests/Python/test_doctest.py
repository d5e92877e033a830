"""The examples in the package's documentation."""

import doctest
import importlib
import pkgutil

import pytest

import tenon

#: Of modules that need packages which are not always there; their own tests run their examples.
OPTIONAL = ("tenon.torch", "tenon.ray", "tenon.onnxruntime.")
MODULES = ["tenon"] + [
    module.name for module in pkgutil.walk_packages(tenon.__path__, "tenon.") if not module.name.startswith(OPTIONAL)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 10
