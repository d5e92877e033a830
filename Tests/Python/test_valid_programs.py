"""Valid modules of every operator end in a result or an error, the same whichever way they run. `make soak` raises the number."""

import os

import valid_programs

COUNT = int(os.environ.get("TENON_VALID_PROGRAMS", "100"))


def test_every_way_to_run_a_valid_module_gives_the_same():
    assert valid_programs.supervise(COUNT, 0) == []


def test_most_operators_are_met():
    met = set()
    for seed in range(1000):
        try:
            met.update(valid_programs.Program(valid_programs.bytes_of(seed)).calls)
        except valid_programs.tenon.TenonError:
            continue
    missed = set(valid_programs.NAMES) - met
    # What is left are operators of other programs' files, and those that the modules around the calls are made of.
    assert len(missed) < 20, sorted(missed)


def test_an_axis_that_a_module_computes_wrongly_is_its_own_error():
    tenon = valid_programs.tenon
    module = tenon.Module.parse(
        "fn @main(%x: f32[2,3]) -> f32[...] {\n  %a: i64[1] = add(const i64[1](40), const i64[1](2))\n"
        "  %y: f32[...] = dyn.sum(%x, %a)\n  return %y\n}\n")
    for attempt in (module.optimize, lambda: tenon.compile(module, optimize=False)):
        try:
            attempt()
        except tenon.InvalidArgumentError as error:
            assert "axis 42 is out of range for rank 2" in str(error)
        else:
            raise AssertionError("expected an error")
