"""The installation as hosts use it, moved as a whole: pkg-config, CMake with versions and components, headers."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest

import tenon

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A copy of the installation that the library under test belongs to, elsewhere, under a name with a space."""
    library = os.environ.get("TENON_LIBRARY", "")
    prefix = pathlib.Path(library).resolve().parents[1] if library else None
    if prefix is None or not (prefix / "lib/pkgconfig/tenon.pc").exists():
        pytest.skip("the library under test is not an installed one")
    copy = tmp_path_factory.mktemp("host") / "moved here"
    shutil.copytree(prefix, copy, symlinks=True)
    return copy


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")


@pytest.mark.parametrize("options", [[], ["--define-prefix"], ["--static"]])
def test_pkg_config_names_the_place_that_it_is_in(moved, options):
    need("pkg-config")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(moved / "lib/pkgconfig")}
    answer = run("pkg-config", *options, "--cflags", "--libs", "tenon", env=environment, check=True)
    flags = answer.stdout.replace("\\ ", "\0").split()
    places = [pathlib.Path(flag[2:].replace("\0", " ")).resolve() for flag in flags if flag[:2] in ("-I", "-L")]
    assert set(places) == {moved / "include", moved / "lib"}
    assert "-ltenon" in flags
    assert run("pkg-config", "--modversion", "tenon", env=environment).stdout.strip() == tenon.__version__


def find(moved, folder, request, more=""):
    """What CMake answers to find_package(tenon `request`)."""
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.19)\nproject(host LANGUAGES NONE)\n"
        f"find_package(tenon {request})\nmessage(STATUS \"found ${{tenon_FOUND}} ${{tenon_VERSION}}\")\n{more}")
    return run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={moved}")


@pytest.mark.parametrize("request_", [
    "REQUIRED", "0 REQUIRED", "0.1 REQUIRED", "0.1.0 EXACT REQUIRED", "0.1...0.4 REQUIRED", "0.1...<0.3 REQUIRED",
    "0.0...0.1.0 REQUIRED", "0.1 REQUIRED COMPONENTS c cxx", "REQUIRED COMPONENTS cxx", "COMPONENTS c OPTIONAL_COMPONENTS fortran"])
def test_cmake_finds(moved, tmp_path, request_):
    need("cmake")
    answer = find(moved, tmp_path / "host", request_)
    assert answer.returncode == 0, answer.stderr
    assert f"found 1 {tenon.__version__}" in answer.stdout or f"found TRUE {tenon.__version__}" in answer.stdout


@pytest.mark.parametrize("request_, reason", [
    ("0.2 REQUIRED", "0.2"), ("1.0 REQUIRED", "1.0"), ("0.0 REQUIRED", "0.0"), ("0.1.1 EXACT REQUIRED", "0.1.1"),
    ("0.2...0.9 REQUIRED", "0.2"), ("0.0...<0.1 REQUIRED", "0.0"),
    ("REQUIRED COMPONENTS fortran", "tenon has no component 'fortran'; there are c and cxx")])
def test_cmake_refuses(moved, tmp_path, request_, reason):
    need("cmake")
    answer = find(moved, tmp_path / "host", request_)
    assert answer.returncode != 0 and reason in " ".join(answer.stderr.split())


PROGRAM = """#include <tenon{suffix}>
#include <cstdio>
int main() {{ std::puts({version}); }}
"""


def test_cmake_targets_build_and_run(moved, tmp_path):
    """tenon::tenon for C++11 and C, tenon::cxx with the standard that tenon.hpp needs."""
    need("cmake", "c++")
    (tmp_path / "plain.cpp").write_text(PROGRAM.format(suffix=".h", version="tenon_version()"))
    (tmp_path / "cxx.cpp").write_text(PROGRAM.format(suffix=".hpp", version="tenon_version()"))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(host CXX)\nset(CMAKE_CXX_STANDARD 11)\n"
        "find_package(tenon 0.1 REQUIRED COMPONENTS cxx)\nfind_package(tenon REQUIRED)\n"
        "add_executable(plain plain.cpp)\ntarget_link_libraries(plain PRIVATE tenon::tenon)\n"
        "add_executable(cxx cxx.cpp)\ntarget_link_libraries(cxx PRIVATE tenon::cxx)\n")
    assert run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}").returncode == 0
    built = run("cmake", "--build", tmp_path / "build")
    assert built.returncode == 0, built.stdout + built.stderr
    for name in ("plain", "cxx"):
        assert run(tmp_path / "build" / name).stdout.strip() == tenon.__version__


@pytest.mark.parametrize("header", ["tenon.hpp", "tenon_rules.hpp", "tenon_hosts.hpp"])
def test_headers_say_which_standard_they_need(header):
    need("c++")
    source = f'#include "{ROOT / "include" / header}"\n'
    base = ["c++", "-x", "c++", "-fsyntax-only", f"-I{ROOT / 'include'}", "-"]
    answer = run(*base, "-std=c++14", input=source)
    assert answer.returncode != 0
    assert "error: #error" in answer.stderr and "C++17" in answer.stderr
    # Nothing else drowns it.
    assert answer.stderr.count("error:") == 1, answer.stderr
    for standard in ("c++17", "c++20"):
        assert run(*base, f"-std={standard}", "-Wall", "-Wextra", "-Werror", input=source).returncode == 0


def test_what_a_wheel_says_of_itself(tmp_path):
    """Without the library, and built with what is installed."""
    for needed in ("setuptools", "pip"):
        pytest.importorskip(needed)
    source = tmp_path / "python"
    shutil.copytree(
        ROOT / "python", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "libtenon.so*", ".mypy_cache"))
    shutil.copy(ROOT / "LICENSE", source)
    answer = run(
        sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    if answer.returncode != 0 and "setuptools" in answer.stderr:
        pytest.skip("setuptools is too old")
    assert answer.returncode == 0, answer.stderr
    wheel = next(tmp_path.glob("tenon-*.whl"))
    assert wheel.name == f"tenon-{tenon.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        place = next(name for name in names if name.endswith(".dist-info/METADATA"))
        said = Parser().parsestr(archive.read(place).decode())
    assert said["Version"] == tenon.__version__ and said["License-Expression"] == "Apache-2.0" and said["Summary"]
    assert said["Requires-Python"] == ">=3.9" and said["Author"] == "The Tenon authors"
    assert said["Description-Content-Type"] == "text/markdown" and "# Tenon" in said.get_payload()
    assert any(name.endswith("licenses/LICENSE") for name in names) and "tenon/py.typed" in names
    # Every module of the package is in it.
    ours = {str(path.relative_to(source)) for path in (source / "tenon").rglob("*.py")}
    assert ours <= set(names), ours - set(names)
