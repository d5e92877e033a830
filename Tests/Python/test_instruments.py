"""Passes in Python and what hears of them."""

import doctest

import pytest

import tenon
from tenon import dpl, instrument, transform

CHAIN = """
fn @main(%x: f32[4]) { dataflow { %a = nn.relu(%x) %b = nn.relu(%a) %z = tanh(%x) output %b } return %b }
"""


class Log(instrument.PassInstrument):
    def __init__(self, skip=(), fail=None):
        self.lines = []
        self.skip = skip
        self.fail = fail

    def enter_pass_ctx(self):
        self.lines.append("enter")

    def exit_pass_ctx(self):
        self.lines.append("exit")

    def should_run(self, mod, info):
        return info.name not in self.skip

    def run_before_pass(self, mod, info):
        self.lines.append(f"{' ' * info.depth}<{info.name}")
        if self.fail == "before":
            raise ZeroDivisionError("before")

    def run_after_pass(self, mod, info):
        assert info.nanoseconds > 0 and "@main" in str(mod)
        self.lines.append(f"{' ' * info.depth}>{info.name}")
        if self.fail == "after":
            raise ZeroDivisionError("after")


@transform.module_pass(opt_level=0)
def absolute(mod, ctx):
    return mod.rewrite("fn @before(%x: object) { %y = nn.relu(%x) return %y } fn @after(%x: object) { %y = abs(%x) return %y }")


@pytest.fixture
def module():
    return tenon.Module.parse(CHAIN)


def test_instruments_hear_of_all_passes(module):
    log = Log()
    pipeline = transform.Sequential([transform.EliminateDeadCode(), absolute, transform.FuseOpsByPattern([("x.y", "abs(*)")])])
    with transform.PassContext(instruments=[log], verify=True):
        result = pipeline(module)
    assert log.lines == [
        "enter", "<EliminateDeadCode", ">EliminateDeadCode", "<absolute", ">absolute", "<FuseOpsByPattern", ">FuseOpsByPattern",
        "exit"]
    assert "tanh" not in str(result) and "x.y" in str(result)
    assert module == tenon.Module.parse(CHAIN)


def test_passes_inside_of_passes_are_deeper(module):
    log = Log()
    with transform.PassContext(instruments=[log]):
        transform.DefaultPipeline()(module)
    assert log.lines[1] == "<DefaultPipeline" and " <FoldConstant" in log.lines and log.lines[-2] == ">DefaultPipeline"


@pytest.mark.parametrize("name", ["EliminateDeadCode", "absolute"])
def test_instruments_leave_passes_out(module, name):
    log = Log(skip=[name])
    with transform.PassContext(instruments=[log]):
        result = transform.Sequential([transform.EliminateDeadCode(), absolute])(module)
    assert f"<{name}" not in log.lines and len(log.lines) == 4
    assert ("abs" in str(result)) == (name != "absolute")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [absolute, transform.EliminateDeadCode()])
def test_what_an_instrument_raises_ends_the_passes(module, when, step):
    with transform.PassContext(instruments=[Log(fail=when)]):
        with pytest.raises(ZeroDivisionError, match=when):
            step(module)
    assert module == tenon.Module.parse(CHAIN)


def test_objects_with_some_methods(module):
    class Few:
        def run_before_pass(self, mod, info):
            seen.append(info.name)

    seen = []
    with transform.PassContext(instruments=[Few()]):
        transform.EliminateDeadCode()(module)
    assert seen == ["EliminateDeadCode"]


def test_times_and_prints(module, capsys):
    timing = instrument.PassTimingInstrument()
    with transform.PassContext(instruments=[timing, instrument.PrintBeforeAll(), instrument.PrintAfterAll()]):
        transform.EliminateDeadCode()(module)
    assert timing.times[0].name == "EliminateDeadCode" and timing.times[0].seconds > 0
    assert timing.render().startswith("EliminateDeadCode: ")
    printed = capsys.readouterr().out
    assert printed.index("// before EliminateDeadCode") < printed.index("tanh") < printed.index("// after EliminateDeadCode")


def test_a_pass_that_raises(module):
    @transform.module_pass(opt_level=0)
    def broken(mod, ctx):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        transform.Sequential([transform.EliminateDeadCode(), broken])(module)
    assert module == tenon.Module.parse(CHAIN)


def test_function_passes(module):
    seen = []

    @transform.function_pass(opt_level=0)
    class Replace:
        def __init__(self, pattern):
            self.pattern = pattern

        def transform_function(self, func, mod, ctx):
            seen.append(func.name)
            made = dpl.rewrite_call(self.pattern, lambda expr, met: tenon.op.abs(met["x"]), mod)
            return made.functions[func.name]

    fused = module.fuse("x.t = tanh(*)")
    result = Replace("nn.relu(%x)")(fused)
    assert seen == ["main"]
    assert "abs(" in str(result) and "nn.relu(" not in str(result)

    @transform.function_pass(opt_level=0)
    def nothing(func, mod, ctx):
        return None

    assert nothing(module) == module

    @transform.function_pass(opt_level=0)
    def wrong(func, mod, ctx):
        return 3

    with pytest.raises(TypeError, match="pass wrong returned int"):
        wrong(module)
    with pytest.raises(tenon.InvalidArgumentError, match="function_pass needs an opt_level"):
        transform.function_pass(lambda func, mod, ctx: None)


def test_functions_are_put_into_modules(module):
    other = tenon.Module.parse("fn @f(%x: f32[4]) { %y: f32[4] = @g(%x) return %y } fn @g(%x: f32[4]) { %y = abs(%x) return %y }")
    with pytest.raises(tenon.NotFoundError):
        module["main"] = other["f"]
    module["g"] = other["g"]
    module["main"] = other["f"]
    assert list(module.functions) == ["main", "g"]


def test_examples():
    result = doctest.testmod(instrument)
    assert result.attempted and not result.failed
