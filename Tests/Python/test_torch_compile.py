"""Compiled PyTorch modules: what they take, what they refuse, and what they give."""

import os
import pathlib
import pickle
import subprocess
import sys
import threading

import pytest

import heavy

heavy.require("torch")

import tenon  # noqa: E402
import tenon.torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 3, 6, 6)


@pytest.fixture
def run(model, x):
    return tenon.compile(model, (x,), threads=1)


def test_tensors_in_tensors_out(model, x, run):
    for _ in range(3):
        x = torch.randn_like(x)
        found = run(x)
        assert type(found) is torch.Tensor and not found.requires_grad
        torch.testing.assert_close(found, model(x).detach(), rtol=1e-4, atol=1e-5)
    first, second = run(x), run(x)
    assert first.data_ptr() != second.data_ptr()
    torch.testing.assert_close(run(input=x), first)


def test_repr_says_what_it_takes(run):
    assert repr(run) == "<tenon.torch.CompiledModule Sequential(input: f32[2,3,6,6]) -> (f32[2,5])>"
    assert "conv" in run.report()


def test_strided_tensors_are_read_where_they_are(model, x, run):
    expected = model(x).detach()
    views = {
        "channels last": x.to(memory_format=torch.channels_last),
        "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
        "every other": torch.stack([x, x], -1)[..., 0],
        "a part": torch.cat([x, x], 1)[:, 3:],
    }
    for name, view in views.items():
        assert not view.is_contiguous(), name
        torch.testing.assert_close(run(view), expected, rtol=1e-4, atol=1e-5, msg=name)
    one = tenon.compile(nn.ReLU(), torch.randn(3, 4))
    torch.testing.assert_close(one(torch.randn(4).expand(3, 4)).shape, torch.Size([3, 4]))


@pytest.mark.parametrize("change, kind, match", [
    (lambda x: x.double(), TypeError, "torch.float32, found torch.float64"),
    (lambda x: x[:1], ValueError, r"f32\[2,3,6,6\], found \[1, 3, 6, 6\]"),
    (lambda x: x[0], ValueError, r"found \[3, 6, 6\]"),
    (lambda x: x.to("meta"), ValueError, "device 'cpu', found device 'meta'"),
    (lambda x: x.to_sparse(), ValueError, "torch.sparse"),
    (lambda x: x.numpy(), TypeError, "found ndarray"),
    (lambda x: x.clone().requires_grad_(), ValueError, "requires a gradient"),
])
def test_arguments_that_do_not_fit(x, run, change, kind, match):
    with pytest.raises(tenon.TenonError, match=match) as caught:
        run(change(x))
    assert isinstance(caught.value, kind)
    assert run(x).shape == (2, 5)


def test_gradients_matter_only_where_they_are_recorded(model, x, run):
    with torch.no_grad():
        run(x.clone().requires_grad_())
    with torch.inference_mode():
        run(torch.randn(2, 3, 6, 6))


def test_number_and_names_of_arguments(x, run):
    with pytest.raises(tenon.InvalidArgumentError, match="expected 1 arguments, found 2"):
        run(x, x)
    with pytest.raises(tenon.InvalidArgumentError, match="expected 1 arguments, found 0"):
        run()
    with pytest.raises(tenon.InvalidArgumentError, match="'other' is not known; expected input"):
        run(other=x)
    with pytest.raises(tenon.InvalidArgumentError, match="given twice"):
        run(x, input=x)


def test_parameters_may_be_on_no_other_device():
    with torch.device("meta"):
        program = torch.export.export(nn.Linear(3, 3), (torch.randn(2, 3),))
    with pytest.raises(tenon.InvalidArgumentError, match="weight expects device 'cpu', found device 'meta'"):
        tenon.compile(program)


def test_many_threads(model, x, run):
    expected, failures = model(x).detach(), []

    def work():
        for _ in range(20):
            if not torch.allclose(run(x), expected, rtol=1e-4, atol=1e-5):
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pickling(model, x, run):
    again = pickle.loads(pickle.dumps(run))
    torch.testing.assert_close(again(x), run(x))
    assert repr(again) == repr(run)


def test_closed(run, x):
    run.close()
    assert "closed" in repr(run)
    with pytest.raises(tenon.InvalidStateError):
        run(x)


def test_options_reach_the_executable(model, x):
    with pytest.raises(tenon.LimitExceededError):
        tenon.compile(model, x, memory_limit=16)
    with pytest.raises(TypeError):
        tenon.compile(model, x, no_such_option=1)
    plain = tenon.compile(model, x, optimize=False)
    torch.testing.assert_close(plain(x), tenon.compile(model, x)(x), rtol=1e-4, atol=1e-5)
    assert "dnnl" not in plain.report()


def test_the_package_imports_no_pytorch():
    code = "import sys, tenon; assert 'torch' not in sys.modules; assert tenon.torch.compile; assert 'torch' in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(tenon.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
