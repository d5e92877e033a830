"""What is no Python and no C in the documents: commands, graphs and rules as text, tables that scripts write, names of files."""

import ctypes
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import tenon
from tenon._lib import lib
from tenon.errors import check

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "python/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")), *sorted((ROOT / "docs").glob("*.md"))]
#: What test_documents.py runs, what is tried here, and pictures.
LANGUAGES = {"c", "python", "sh", "tenon", "text"}


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / path).read_text(), flags=re.S | re.M)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_what_it_is(path):
    """One without a language would be tried by nothing."""
    fences = re.findall(r"^[ >]*```(.*)$", path.read_text(), flags=re.M)
    assert set(fences[::2]) <= LANGUAGES and set(fences[1::2]) <= {""}


def shell_lines():
    lines = []
    for path in DOCUMENTS:
        for block in blocks(path, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                lines.append(pytest.param(line, id=f"{path.name}: {line.split('#')[0].strip()[:60]}"))
    return lines


@pytest.mark.parametrize("line", shell_lines())
def test_commands(line):
    """They can be read by a shell, and what they name is there; tests and demo run the commands themselves."""
    subprocess.run(["bash", "-n", "-c", line], check=True)
    words = re.sub(r"\s#.*", "", line).split()
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        for target in (word for word in words[1:] if "=" not in word):
            assert re.search(rf"^{target}:", makefile, flags=re.M), target
    manifest = (ROOT / "Package.swift").read_text()
    for option, name in zip(words, words[1:]):
        if option in ("--target", "--product"):
            assert f'name: "{name}"' in manifest
        if option == "--filter":
            suite, *rest = name.split(".")
            assert (ROOT / "Tests" / suite).is_dir()
            assert all((ROOT / "Tests" / suite / f"{test}.swift").exists() for test in rest)
        if option == "-k":
            test = next(word for word in words if word.endswith(".py"))
            assert re.search(rf"def test_\w*{name}", (ROOT / test).read_text())
    for word in words:
        if re.match(r"(Tests|Sources|scripts|python|docs|include)(/|$)", word):
            assert (ROOT / word).exists(), word


@pytest.fixture
def prefix():
    """Where the library under test is installed."""
    library = os.environ.get("TENON_LIBRARY", "")
    found = pathlib.Path(library).resolve().parents[1] if library else None
    if found is None or not (found / "lib/pkgconfig/tenon.pc").exists():
        pytest.skip("the library under test is not an installed one")
    return found


def test_the_first_program(prefix, fixtures, tmp_path):
    """README's program, compiled by README's line against an installation that was moved, gives what Python gives."""
    if shutil.which("cc") is None or shutil.which("pkg-config") is None:
        pytest.skip("no compiler, or no pkg-config")
    moved = tmp_path / "moved"
    shutil.copytree(prefix, moved, symlinks=True)
    program = next(block for block in blocks("README.md", "c") if "int main" in block)
    shown = program.replace("    return 0;\n", "    for (int i = 0; i < 10; i++) printf(\"%.9g\\n\", scores[i]);\n    return 0;\n")
    (tmp_path / "app.c").write_text(shown)
    line = next(line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("cc "))
    environment = {**os.environ, "PKG_CONFIG_PATH": f"{moved}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{moved}/lib"}
    subprocess.run(line, shell=True, cwd=tmp_path, env=environment, check=True)
    answer = subprocess.run(
        [tmp_path / "a.out"], cwd=fixtures / "digits", env=environment, check=True, capture_output=True, text=True)
    expected = tenon.compile(tenon.load(fixtures / "digits/digits.onnx"))(np.zeros((1, 1, 8, 8), np.float32))
    np.testing.assert_allclose([float(number) for number in answer.stdout.split()], expected.ravel(), atol=1e-6)


def test_the_graph_of_the_readme():
    """It is fused as the README says."""
    lines = blocks("README.md", "tenon")[0]
    module = tenon.Module.parse(
        "fn @main(%x: f32[1,64,56,56], %w: f32[64,64,3,3], %b: f32[64]) {\n dataflow {\n" + lines + "output %3 }\n return %3\n}")
    fused = str(module.apply("FuseConv2dReshapeAddRelu"))
    assert 'Composite="dnnl.conv2d_reshape_add_relu"' in fused and "Primitive=true" in fused
    assert 'Codegen="dnnl"' in str(module.optimize())


def test_the_text_form():
    """The page about C shows it as it is printed, constants as references."""
    text = blocks("docs/c-api.md", "tenon")[0]
    weights = re.search(r"const#0: (\S+)\[(.*?)\]", text)
    assert weights[1] == "f32"
    with_weights = text.replace(weights[0], "%w").replace("%b: f32[64])", f"%b: f32[64], %w: f32[{weights[2]}])")
    printed = str(tenon.Module.parse(with_weights))
    assert printed.strip() == with_weights.strip()
    shape = [int(size) for size in weights[2].split(",")]
    bound = tenon.transform.BindParams("main", {"w": np.zeros(shape, np.float32)})(tenon.Module.parse(with_weights))
    assert str(bound).strip() == text.strip()


def test_the_rules_of_the_page_about_patterns():
    fusing, context, rewriting = blocks("docs/patterns.md", "tenon")
    module = tenon.Module.parse(
        "fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3], %b: f32[4]) {\n dataflow {\n"
        "%c = nn.conv2d(%x, %w) %r = reshape(%b, shape[1,4,1,1]) %a = add(%c, %r) %y = nn.relu(%a) %z = nn.relu(%c) output %y, %z }\n"
        "return (%y, %z)\n}")
    fused = str(module.fuse(fusing))
    # The closed rule does not take the convolution that is used twice.
    assert "dnnl.conv2d_relu" in fused and "dnnl.conv2d_bias_relu" not in fused
    parsed = ctypes.c_void_p()
    check(lib.tenon_pattern_context_parse(context.encode(), ctypes.byref(parsed)))
    lib.tenon_pattern_context_release(parsed)
    silu = tenon.Module.parse("fn @main(%x: f32[4]) { %s = sigmoid(%x) %y = multiply(%x, %s) return %y }").rewrite(rewriting)
    assert "nn.silu" in str(silu) and "multiply" not in str(silu)


def test_the_explanation_of_the_page_about_patterns():
    page = (ROOT / "docs/patterns.md").read_text()
    rules = "".join(f"{rule};" for rule in re.findall(r"`(x\.\w+ = [^`]*)`", page))
    module = tenon.Module.parse(
        "fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3]) {\n dataflow {\n"
        "%a = nn.conv2d(%x, %w) %b = nn.relu(%a) %c = sigmoid(%b) output %c }\n return %c\n}")
    assert module.explain(rules).strip() == blocks("docs/patterns.md", "text")[0].strip()


def test_table_of_operators():
    """Written by scripts/operator-table.py."""
    spec = importlib.util.spec_from_file_location("operator_table", ROOT / "scripts/operator-table.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.DOCUMENT.read_text().split(script.BEGIN)[1].split(script.END)[0] == script.table()


def test_every_pass_is_listed():
    tables = "".join((ROOT / "docs" / name).read_text() for name in ("passes.md", "fusion.md"))
    first = [row.split("|")[1] for row in re.findall(r"^\| `.*", tables, flags=re.M)]
    listed = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    # It has a sentence of its own below the table.
    assert set(tenon.passes()) - listed <= {"AnnotateCodegen"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files(path):
    """What a document points at is there."""
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target
    for name in re.findall(r"`((?:Tests|Sources|scripts|examples-c|examples-python|benchmarks|cmake|include)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        heads = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, flags=re.M)}
        assert anchor in heads, anchor
