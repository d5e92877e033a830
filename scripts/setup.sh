#!/bin/bash
# Installs what is missing to build Tenon (`setup.sh demo`) and to test it (`setup.sh test`).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
goal=${1:-demo}

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v swift >/dev/null || fail "a Swift toolchain, 6.1 or later, must be on PATH"
command -v python3 >/dev/null || [ "$goal" = demo ] || fail "python3 must be on PATH"

missing=()
need() { # need TEST PACKAGE
    eval "$1" >/dev/null 2>&1 || missing+=("$2")
}
has_header() { echo "#include <$1>" | cc -E -x c - -o /dev/null 2>/dev/null; }

need "command -v cc" gcc
need "command -v c++" g++
need "command -v make" make
need "command -v pkg-config" pkg-config
if [ -z "${TENON_DNNL_ROOT:-}" ]; then need "has_header dnnl.h" libdnnl-dev; fi
if [ "$goal" = test ]; then
    need "has_header cmocka.h" libcmocka-dev
    need "command -v valgrind" valgrind
    need "command -v cmake" cmake
    need "command -v qemu-x86_64" qemu-user
    need "command -v strace" strace
    need "command -v espeak-ng" espeak-ng
    need "python3 -m venv --help && python3 -c 'import ensurepip'" python3-venv
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo)
    else
        fail "run this and start again: sudo apt-get install ${missing[*]}"
    fi
    command -v apt-get >/dev/null || fail "install these by your system's means: ${missing[*]}"
    echo "setup: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq </dev/null
    "${as_root[@]}" apt-get install -y -qq "${missing[@]}" </dev/null >/dev/null
fi

if [ "$goal" = test ]; then
    python=$root/.venv/bin/python
    [ -x "$python" ] || python3 -m venv "$root/.venv"
    stamp=$root/.venv/requirements.stamp
    packages=(test programs)
    case ${TENON_TEST_WITHOUT_HEAVY:-0} in
        "" | 0) packages+=(heavy heavy-programs) ;;
        *) echo "setup: without PyTorch and Ray (TENON_TEST_WITHOUT_HEAVY is set); the tests that need them will be skipped" ;;
    esac
    wanted() { for name in "${packages[@]}"; do cat "$root/python/requirements-$name.txt"; done; }
    if ! wanted | cmp -s - "$stamp"; then
        for name in "${packages[@]}"; do
            echo "setup: installing Python packages for the tests into .venv: requirements-$name.txt"
            options=()
            # What these would bring along (another ONNX Runtime, another PyTorch) is here already or not needed.
            [[ $name != *programs ]] || options=(--no-deps)
            "$python" -m pip install -q --disable-pip-version-check "${options[@]}" -r "$root/python/requirements-$name.txt"
        done
        wanted > "$stamp"
    fi
fi
echo "setup: complete"
