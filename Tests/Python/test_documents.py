"""What the documents say: every block of code is compiled or run, tables and orders are those of the code."""

import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import tenon
from tenon import instrument, transform

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md", ROOT / "python/README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADER = (ROOT / "include/tenon.h").read_text()


def blocks(language):
    for path in DOCUMENTS:
        for index, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```$", path.read_text(), flags=re.S | re.M)):
            yield pytest.param(match[1], id=f"{path.relative_to(ROOT)}-{index}")


def header_blocks():
    """The indented examples in the comments at the top of the headers."""
    for name in ("tenon.h", "tenon.hpp", "tenon_rules.hpp", "tenon_hosts.hpp"):
        comment = (ROOT / "include" / name).read_text().split("*/")[0]
        # The first run of indented lines; what stands indented further down is prose.
        lines = re.search(r"((?:^ \*     .*\n|^ \*\n(?= \*     ))+)", comment, flags=re.M)[1].splitlines()
        yield pytest.param(name, "\n".join(line[3:] for line in lines), id=name)


PRELUDE = """
#include <stdio.h>
#include <string.h>
#include <tenon.h>
static tenon_module *module;
static tenon_executable *executable;
static const char *path = "model.onnx";
static const int64_t in_shape[] = {1, 1, 8, 8}, out_shape[] = {1, 10};
static float pixels[64], scores[10];
static int complain(const char *message) { return message != NULL; }
"""
PRELUDE_CXX = """
#include "tenon_hosts.hpp"
static std::vector<float> pixels(64);
static tenon::Module module;
static void log(const std::string &, std::uint64_t) {}
static bool tidy(tenon::Module &) { return true; }
struct Mine : tenon::Backend {
    Mine() : tenon::Backend("mine") {}
    std::unique_ptr<Region> compile(const tenon::Function &, std::uint32_t, tenon::Verdict &) override { return nullptr; }
};
"""


def compiles(source, tmp_path, cxx=False):
    compiler = "c++" if cxx else "cc"
    if shutil.which(compiler) is None:
        pytest.skip("no compiler")
    file = tmp_path / ("block.cpp" if cxx else "block.c")
    file.write_text(source)
    answer = subprocess.run(
        [compiler, "-std=c++17" if cxx else "-std=c99", "-fsyntax-only", "-Wall", "-Wno-unused", "-Wno-unused-result",
         f"-I{ROOT / 'include'}", str(file)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def wrapped(block, prelude):
    """Functions of a block at the top, the rest in a function."""
    functions = re.findall(r"^static .*?^}\n", block, flags=re.S | re.M)
    rest = block
    for function in functions:
        rest = rest.replace(function, "")
    return prelude + "".join(functions) + "int block(void);\nint block(void)\n{\n" + rest + "\nreturn 0;\n}\n"


@pytest.mark.parametrize("block", blocks("c"))
def test_c(block, tmp_path):
    compiles(block if "int main" in block else wrapped(block, PRELUDE), tmp_path)


@pytest.mark.parametrize("name,block", header_blocks())
def test_headers(name, block, tmp_path):
    if name == "tenon.h":
        return compiles(wrapped(block, PRELUDE), tmp_path)
    compiles(PRELUDE_CXX + "int block();\nint block()\n{\n" + block + "\nreturn 0;\n}\n", tmp_path, cxx=True)


@pytest.mark.parametrize("block", blocks("python"))
def test_python(block, fixtures, monkeypatch, capsys):
    if "torch" in block or "model, (" in block:
        pytest.importorskip("torch")
    monkeypatch.chdir(fixtures / "digits")
    image = np.zeros((1, 1, 8, 8), np.float32)
    names = {"image": image, "pixels": image, "out": np.zeros((1, 10), np.float32), "two": np.float32(2), "tenon": tenon,
             "module": tenon.load("digits.onnx")}
    if "torch" in block or "model, (" in block:
        import torch

        names.update(model=torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()), x=torch.zeros(1, 1, 8, 8))
        names["image"] = names["x"] if "model, (" in block else image
    if "install()" in block:
        # It would change this process for good.
        compile(block, "block", "exec")
        return
    exec(compile(block, "block", "exec"), names)


def test_every_function_says_how_it_fails():
    comment, silent = "", []
    pattern = r"/\*.*?\*/|\btenon_status\s+(tenon_\w+)\s*\([^;]*?\)\s*(?:TENON_CHECKED)?\s*;"
    for match in re.finditer(pattern, HEADER, flags=re.S):
        if match[1] is None:
            comment = " ".join(match[0].replace("*", " ").split())
        elif not re.search(r"\b[Ff]ails\b", comment):
            silent.append(match[1])
    assert silent == []


def test_the_header_names_the_environment_that_is_read():
    """Those of oneDNN and OpenMP it names as such."""
    read = set()
    for path in (ROOT / "Sources").rglob("*"):
        if path.suffix in (".c", ".cpp", ".h", ".swift"):
            read |= set(re.findall(r'getenv\("(\w+)"\)', path.read_text()))
    comment = HEADER.split("*/")[0]
    assert "TENON_MAX_CPU_ISA" in read
    assert {name for name in read if name not in comment and not name.startswith(("DNNL_", "ONEDNN_", "OMP_", "GOMP_"))} == set()


class Names(instrument.PassInstrument):
    def __init__(self):
        self.names = []

    def run_before_pass(self, mod, info):
        if info.depth == 1:
            self.names.append(info.name)


def test_order_of_passes():
    """The table of docs/fusion.md lists the default pipeline as it runs."""
    heard = Names()
    module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
    with transform.PassContext(instruments=[heard], opt_level=3):
        transform.DefaultPipeline()(module)
    table = (ROOT / "docs/fusion.md").read_text().split("## The rule table")[0]
    listed = [name for row in re.findall(r"^\| (`[A-Z].*?) \|", table, flags=re.M) for name in re.findall(r"`(\w+)`", row)]
    assert listed == heard.names
    assert set(listed) <= set(tenon.passes())


def expanded(name):
    """`a.{b,c}d` as the names that it stands for."""
    match = re.search(r"\{([^{}]*)\}", name)
    if match is None:
        return {name}
    return {full for part in match[1].split(",") for full in expanded(name[:match.start()] + part + name[match.end():])}


def test_rules_are_listed():
    """Every rule whose name is written out in the code stands in the table of docs/fusion.md."""
    table = (ROOT / "docs/fusion.md").read_text()
    listed = {name for found in re.findall(r"`(dnnl\.[^`]+)`", table) for name in expanded(found)}
    written = set(re.findall(r'"(dnnl\.[a-z0-9_]*[a-z0-9])"', "".join(
        path.read_text() for path in (ROOT / "Sources/TenonDNNL/Rules").glob("*.swift"))))
    assert len(written) > 8 and written <= listed


def test_changelog_and_citation():
    version = tenon.__version__
    assert version in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


def test_each_promise_names_a_test_that_is_there():
    text = (ROOT / "docs/c-api.md").read_text().split("## Promises")[1].split("\n## ")[0]
    promises = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", text, flags=re.S | re.M)
    assert [int(number) for number, _ in promises] == list(range(1, len(promises) + 1))
    for number, promise in promises:
        named = re.findall(r"`((?:Tests|scripts)/[^`]+)`", promise)
        assert named, f"promise {number} names no test"
        for path in named:
            assert (ROOT / path).exists(), f"promise {number}: {path} is not there"
