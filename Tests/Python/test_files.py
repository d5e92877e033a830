"""Which files the library opens, as the system sees it: those that docs/c-api.md names, and no others."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = r"""
#include <stdio.h>
#include <tenon.h>
static int fail(const char *what) { fprintf(stderr, "%s: %s\n", what, tenon_last_error_message()); return 1; }
int main(int argc, char **argv) {
    tenon_module *module = NULL;
    (void)argc;
    if (tenon_module_load_onnx(argv[1], NULL, &module) != TENON_OK) return fail("load");
    if (tenon_module_save_onnx(module, argv[2], NULL) != TENON_OK) return fail("save");
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 2;
    options.tuning_milliseconds = 50;
    tenon_executable *executable = NULL;
    if (tenon_compile(module, &options, &executable) != TENON_OK) return fail("compile");
    static float x[2 * 8 * 16 * 16], y[2 * 8 * 16 * 16];
    int64_t shape[] = {2, 8, 16, 16};
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, shape, x, sizeof x), out = TENON_TENSOR(TENON_F32, 4, shape, y, sizeof y);
    if (tenon_run(executable, &in, 1, &out, 1, NULL) != TENON_OK) return fail("run");
    tenon_executable_release(executable);
    tenon_module_release(module);
    return 0;
}
"""

# What the loader, libgomp and the C library look at in any program.
OF_THE_SYSTEM = re.compile(
    r"/etc/(ld\.so\.|localtime|OpenCL)|/sys/devices/system/|/proc/(stat|meminfo|self/(status|maps|task))|/dev/null|.*\.so[.\d]*$|"
    r"/usr/share/locale|/usr/lib/locale|/usr/lib/x86_64-linux-gnu/gconv")
NAMED = re.compile(r"/proc/cpuinfo|/proc/self/cgroup|/sys/fs/cgroup")


@pytest.mark.skipif(shutil.which("strace") is None or shutil.which("cc") is None, reason="needs strace and a C compiler")
def test_only_the_files_that_are_named_are_opened(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weights = helper.make_tensor("w", 1, [8, 8, 3, 3], [0.01] * 576)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    value = [helper.make_tensor_value_info(name, 1, [2, 8, 16, 16]) for name in "xy"]
    model = tmp_path / "model.onnx"
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", value[:1], value[1:], [weights]), ir_version=8,
                          opset_imports=[helper.make_opsetid("", 17)]), model)
    library = pathlib.Path(os.environ.get("TENON_LIBRARY") or pytest.skip("needs TENON_LIBRARY")).resolve()
    (tmp_path / "program.c").write_text(PROGRAM)
    program = tmp_path / "program"
    # A library that is not installed has no link with the name that programs look for.
    (tmp_path / "libtenon.so.0").symlink_to(library)
    subprocess.run(
        ["cc", "-std=c11", f"-I{ROOT / 'include'}", str(tmp_path / "program.c"), str(library), "-o", str(program)], check=True)
    cache, saved, log = tmp_path / "cache", tmp_path / "saved.onnx", tmp_path / "log"
    cache.mkdir()
    environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(cache), "HOME": str(tmp_path),
                   "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", "trace=%file", str(program), str(model), str(saved)],
        env=environment, capture_output=True, text=True)
    if "ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""
    read, changed = set(), set()
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        is_change = re.search(r"O_WRONLY|O_RDWR|O_CREAT", line) or call and call[1] in (
            "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "chmod", "fchmodat")
        # Looking whether something is there is no reading.
        if call and (is_change or call[1] in ("open", "openat", "openat2")):
            (changed if is_change else read).update(re.findall(r'"([^"]*)"', call[2]))
    own = str(cache / "tenon")
    assert {path for path in changed if not path.startswith(own) and path not in (str(cache), "/dev/null")} == {
        path for path in changed if path.startswith(str(saved))}
    assert saved.exists() and any(path.startswith(own) for path in changed)
    strange = {
        path for path in read
        if not (OF_THE_SYSTEM.match(path) or NAMED.match(path) or path in (str(model), "")
                or path.startswith((own, str(saved), str(cache))))
    }
    assert strange == set()
