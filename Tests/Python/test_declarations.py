"""The ctypes declarations against include/tenon.h."""

import ctypes
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tenon import _lib

HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/tenon.h"

SCALARS = {
    "int": ctypes.c_int, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t, "float": ctypes.c_float, "double": ctypes.c_double,
    "tenon_value": ctypes.c_uint32, "tenon_status": ctypes.c_int, "tenon_dtype": ctypes.c_int,
    "tenon_attribute_kind": ctypes.c_int,
}


def source() -> str:
    text = re.sub(r"/\*.*?\*/", " ", HEADER.read_text(), flags=re.S)
    return re.sub(r"^\s*#.*(?:\\\n.*)*$", " ", text, flags=re.M)


def parameter_type(declaration: str):
    """What ctypes calls the type of one parameter; a set where several fit."""
    words = declaration.replace("*", " * ").split()
    words = [word for word in words if word != "const"]
    stars = words.count("*")
    base = words[0]
    if base in _lib.CALLBACKS:
        return {_lib.CALLBACKS[base]}
    if base == "char":
        # Text that is given is c_char_p; text that comes back to be released is an address.
        kind = ctypes.c_char_p
        return {
            1: {kind, ctypes.c_void_p}, 2: {ctypes.POINTER(kind), ctypes.POINTER(ctypes.c_void_p)},
            3: {ctypes.POINTER(ctypes.POINTER(kind))},
        }[stars]
    if base == "void":
        return {1: {ctypes.c_void_p}, 2: {ctypes.POINTER(ctypes.c_void_p)}}[stars]
    if base in _lib.STRUCTURES:
        kind = _lib.STRUCTURES[base]
    elif base in SCALARS:
        kind = SCALARS[base]
    else:
        # An opaque object.
        return {1: {ctypes.c_void_p}, 2: {ctypes.POINTER(ctypes.c_void_p)}}[stars]
    for _ in range(stars):
        kind = ctypes.POINTER(kind)
    return {kind}


def prototypes():
    found = {}
    pattern = r"\b((?:const\s+)?\w+\s*\**)\s*(tenon_\w+)\s*\(([^()]*)\)\s*(?:TENON_CHECKED)?\s*;"
    for result, name, parameters in re.findall(pattern, source()):
        parameters = [] if parameters.strip() == "void" else [part.strip() for part in parameters.split(",")]
        found[name] = (result.strip(), parameters)
    return found


PROTOTYPES = prototypes()


def test_header_was_understood():
    assert len(PROTOTYPES) == len(set(re.findall(r"\b(tenon_\w+)\s*\([^()]*\)\s*(?:TENON_CHECKED)?\s*;", source())))
    assert "tenon_run" in PROTOTYPES and len(PROTOTYPES) > 80


@pytest.mark.parametrize("name", sorted(_lib.FUNCTIONS))
def test_function(name):
    result, parameters = PROTOTYPES[name]
    restype, argtypes = _lib.FUNCTIONS[name]
    if result == "void":
        assert restype is None
    else:
        assert restype in parameter_type(result)
    assert len(argtypes) == len(parameters), parameters
    for argtype, declaration in zip(argtypes, parameters):
        assert argtype in parameter_type(declaration), declaration


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_structures(tmp_path):
    lines = []
    for name, structure in _lib.STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in structure._fields_:
            lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));')
    program = tmp_path / "layout.c"
    program.write_text(
        '#include "tenon.h"\n#include <stdio.h>\nint main(void)\n{\n    ' + "\n    ".join(lines) + "\n    return 0;\n}\n")
    subprocess.run(["cc", "-I", str(HEADER.parent), str(program), "-o", str(tmp_path / "layout")], check=True)
    layout = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True, text=True).stdout
    expected = []
    for name, structure in _lib.STRUCTURES.items():
        expected.append(f"{name} {ctypes.sizeof(structure)}")
        for field, *_ in structure._fields_:
            place = getattr(structure, field)
            expected.append(f"{name}.{field} {place.offset} {place.size}")
    assert layout.split("\n")[:-1] == expected
    # Every structure of the header is declared, with every field.
    declared = re.findall(r"typedef struct (tenon_\w+) \{(.*?)\}", source(), flags=re.S)
    assert {name for name, _ in declared} == set(_lib.STRUCTURES)
    for name, body in declared:
        assert len(re.findall(r";", body)) == len(_lib.STRUCTURES[name]._fields_), name


def test_callbacks():
    found = dict(
        (name, (result.strip(), parameters.split(",")))
        for result, name, parameters in re.findall(
            r"typedef\s+([\w ]+?)\s*\(\*(tenon_\w+)\)\s*\(([^()]*)\)", source()))
    assert set(found) == set(_lib.CALLBACKS)
    for name, (result, parameters) in found.items():
        kind = _lib.CALLBACKS[name]
        assert kind._restype_ is (None if result == "void" else SCALARS[result]), name
        assert len(kind._argtypes_) == len(parameters), name
        for argtype, declaration in zip(kind._argtypes_, parameters):
            assert argtype in parameter_type(declaration), (name, declaration)


def test_constants():
    text = HEADER.read_text()
    assert int(re.search(r"TENON_ABI_VERSION (\d+)", text)[1]) == _lib.ABI_VERSION
    for name in ("COMPILE_REPRODUCIBLE", "COMPILE_REFERENCE", "COMPILE_FLUSH_DENORMALS", "COMPILE_CANCELLABLE", "RUN_PROFILE", "PASS_VERIFY"):
        assert int(re.search(rf"TENON_{name} UINT32_C\((\d+)\)", text)[1]) == getattr(_lib, name)


def test_statuses():
    from tenon import errors

    numbers = dict(re.findall(r"(TENON_ERROR_\w+) = (\d+)", HEADER.read_text()))
    kinds = {kind.status for kind in errors.TenonError.__subclasses__()}
    assert kinds == {int(number) for number in numbers.values()}
    for name, number in numbers.items():
        assert errors._by_status[int(number)]("").status_name == name


def test_missing_library_says_what_was_tried(tmp_path):
    absent = tmp_path / "libabsent.so"
    code = "import tenon"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={"PYTHONPATH": str(HEADER.parents[1] / "python"), "TENON_LIBRARY": str(absent)})
    assert run.returncode == 1
    assert "ImportError" in run.stderr and str(absent) in run.stderr


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_other_abi_version_is_refused(tmp_path):
    (tmp_path / "other.c").write_text("unsigned tenon_abi_version(void) { return 77; }\n")
    library = tmp_path / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(tmp_path / "other.c"), "-o", str(library)], check=True)
    run = subprocess.run(
        [sys.executable, "-c", "import tenon"], capture_output=True, text=True,
        env={"PYTHONPATH": str(HEADER.parents[1] / "python"), "TENON_LIBRARY": str(library)})
    assert run.returncode == 1
    assert f"has ABI version 77, this package needs {_lib.ABI_VERSION}" in run.stderr
