"""What an executable runs, and how long: as data, as a trace, as drawings; and how far it is from the reference."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest

import tenon
from test_executable import A, B, module

IMAGE = np.random.default_rng(1).random((1, 1, 8, 8), np.float32)


@pytest.fixture
def fused(fixtures):
    return tenon.load(fixtures / "digits/digits.onnx").optimize()


@pytest.fixture
def run(fused):
    with tenon.compile(fused, threads=2) as executable:
        yield executable


def test_steps(run):
    before = run.profile()
    assert len(before) > 0 and before.nanoseconds == 0 and all(step.nanoseconds == 0 for step in before)
    profile = run.profile([IMAGE])
    assert [step[:5] for step in profile] == [step[:5] for step in before]
    assert 0 < sum(step.nanoseconds for step in profile) <= profile.nanoseconds
    convolutions = [step for step in profile if step.composite == "dnnl.conv2d_reshape_add_relu"]
    # 16 filters of 3 x 3 on 8 x 8, then 32 of 3 x 3 x 16 on 4 x 4.
    assert [step.flops for step in convolutions] == [2 * 16 * 64 * 9, 2 * 32 * 16 * 9 * 16]
    assert all(step.region and step.implementation and step.bytes > 0 and step.gflops > 0 for step in convolutions)
    # A later run without it leaves the times.
    run(IMAGE)
    assert run.profile().nanoseconds == profile.nanoseconds
    assert run.profile({"image": IMAGE}).nanoseconds > 0
    with pytest.raises(tenon.InvalidShapeError):
        run.profile([IMAGE[0]])


def test_steps_as_data(run):
    profile = run.profile([IMAGE])
    array = profile.to_numpy()
    assert array["nanoseconds"].sum() == sum(step.nanoseconds for step in profile)
    assert list(array["binding"]) == [step.binding for step in profile]
    groups = profile.by_operator()
    assert sum(count for _, count, _ in groups) == len(profile)
    assert [time for _, _, time in groups] == sorted((time for _, _, time in groups), reverse=True)
    assert str(profile) == run.report()
    assert "dnnl.conv2d_reshape_add_relu" in repr(profile) and "%" in repr(profile)


def test_trace(run, tmp_path):
    profile = run.profile([IMAGE])
    profile.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in events] == [step.composite for step in profile]
    for event, step in zip(events, profile):
        assert event["ph"] == "X" and event["dur"] == pytest.approx(step.nanoseconds / 1e3)
    for event, following in zip(events, events[1:]):
        assert following["ts"] == pytest.approx(event["ts"] + event["dur"], abs=1e-2)


def test_symbolic_sizes():
    run = tenon.compile(module("n", 3))
    assert len(run.profile()) == 0
    assert len(run.profile([A, B])) > 0


def test_verify(run):
    comparison = run.verify([IMAGE])
    assert comparison.ok and len(comparison) >= 2 and all(entry.ok for entry in comparison)
    assert comparison[-1].name == "probabilities" and comparison[-1].type == "f32[1,10]"
    assert 0 <= comparison.worst.relative < 1e-4
    assert list(comparison.to_numpy()["ok"]) == [True] * len(comparison)
    assert repr(comparison).count("\n") == len(comparison)
    # Nothing is that exact: what differs at all is reported.
    strict = run.verify({"image": IMAGE}, absolute=1e-30, relative=1e-30)
    assert strict.ok == all(entry.absolute == 0 for entry in strict)
    with pytest.raises(tenon.InvalidShapeError):
        run.verify([IMAGE[0]])
    with pytest.raises(tenon.InvalidArgumentError):
        run.verify([IMAGE], absolute=-1)


def test_drawing(fused, run):
    plain = fused.draw()
    operations = [node for node in plain.nodes if node["kind"] == "operation"]
    names = [node["name"] for node in plain.nodes]
    assert len(set(node["region"] for node in operations if node["backend"] == "dnnl")) == 2
    assert [node["kind"] for node in plain.nodes].count("input") == 1
    first = operations[0]
    assert first["operators"] == ["nn.conv2d", "add", "nn.relu"] and names[first["inputs"][0]] == "image"
    assert plain.steps == [] and "µs" not in plain.dot
    run.run([IMAGE], profile=True)
    timed = run.draw()
    assert sorted(step for node in timed.nodes for step in node["steps"]) == list(range(len(run.profile())))
    assert "µs" in timed.dot and "µs" in timed.svg


def test_notebooks(fused, run):
    """What a notebook shows is well-formed."""
    profile, comparison = run.profile([IMAGE]), run.verify([IMAGE])
    for picture in (fused._repr_svg_(), run.draw()._repr_svg_()):
        xml.etree.ElementTree.fromstring(picture)
    for page in (profile._repr_html_(), comparison._repr_html_(), run._repr_html_()):
        xml.etree.ElementTree.fromstring(f"<div>{page}</div>")
    run.close()
    assert "closed" in run._repr_html_()
    assert tenon.Module()._repr_svg_() is None


def test_names_are_escaped():
    b = tenon.Builder()
    x = b.parameter("x", (2, 3))
    made = b.finish(b.call("nn.relu", x, name='<b>"&'), attributes={"output_names": ['<i>"\\']})
    executable = tenon.compile(made)
    executable.run([A], profile=True)
    for page in (made._repr_svg_(), executable._repr_html_(), executable.profile()._repr_html_(),
                 executable.verify([A])._repr_html_()):
        assert "<b>" not in page and "<i>" not in page
        xml.etree.ElementTree.fromstring(f"<div>{page}</div>")
    json.loads(executable.profile().trace())


def test_pictures_of_large_graphs_end():
    b = tenon.Builder()
    value = b.parameter("x", (2, 3))
    for _ in range(2000):
        value = b.call("nn.relu", value)
    picture = b.finish(value)._repr_svg_()
    xml.etree.ElementTree.fromstring(picture)
    assert picture.count("<circle") == 500 and "1502 more" in picture


def test_values_that_skip_ahead_share_a_lane():
    """A value that many later operations use takes one lane of the picture, however many there are."""
    from tenon.drawing import _lanes

    b = tenon.Builder()
    first = b.call("nn.relu", b.parameter("x", (4,)), name="first")
    value = first
    for _ in range(20):
        value = b.call("add", value, first)
    lanes, width = _lanes(b.finish(value).draw().nodes)
    assert width == 1
    # Edges of two values in one lane never overlap.
    for source, target, lane in lanes:
        for other, end, same in lanes:
            if other != source and lane == same and target > source + 1 and end > other + 1:
                assert target <= other or end <= source
