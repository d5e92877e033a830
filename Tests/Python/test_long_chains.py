"""Whatever is done to a chain of operators takes time in proportion to its length. The processor's time is compared, best of two,
at lengths of which a square would show."""

import time

import numpy as np

import tenon

SHORT, LONG = 100, 600


def chain(count):
    builder = tenon.Builder()
    x = builder.parameter("x", (4,))
    for index in range(count):
        x = builder.call(("nn.relu", "negative")[index % 2], x)
    return builder.finish(x)


def stages(count):
    times = {}

    def stage(name, work):
        start = time.process_time()
        result = work()
        times[name] = time.process_time() - start
        return result

    module = stage("build", lambda: chain(count))
    text = stage("print", module.print)
    stage("parse", lambda: tenon.Module.parse(text))
    script = stage("script", module.script)
    stage("parse script", lambda: tenon.Module.parse(script))
    optimized = stage("optimize", module.optimize)
    executable = stage("compile", lambda: tenon.compile(optimized, threads=1))
    stage("run", lambda: executable(np.zeros(4, np.float32)))
    saved = stage("save", module.serialize_onnx)
    stage("load", lambda: tenon.Module.load_onnx(saved))
    return times


def test_every_stage_is_linear():
    short, long = ([stages(count), stages(count)] for count in (SHORT, LONG))
    for name in short[0]:
        small, large = (min(times[name] for times in runs) for runs in (short, long))
        # Caches take their share, and so does what a call costs at least: a square would be 36 times as much.
        assert large < 15 * max(small, 5e-4), f"{name}: {small:.4f} s for {SHORT}, {large:.4f} s for {LONG}"
