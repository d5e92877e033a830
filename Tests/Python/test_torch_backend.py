"""torch.compile(model, backend="tenon"): whole graphs, parts of graphs, changed parameters, gradients."""

import warnings

import pytest

import heavy

heavy.require("torch")

import tenon  # noqa: E402
import tenon.torch  # noqa: E402
import torch  # noqa: E402
from tenon.executable import Executable  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def runs(monkeypatch):
    """The executables that are made."""
    made = []
    original = Executable.__init__

    def init(self, module, **options):
        original(self, module, **options)
        made.append(self)

    monkeypatch.setattr(Executable, "__init__", init)
    return made


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.linear = nn.Linear(8, 5)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.linear(F.gelu(y)).mean(1), y


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_registered():
    assert "tenon" in torch._dynamo.list_backends()


@pytest.fixture(params=[False, True], ids=["", "freezing"])
def freezing(request):
    """Whether Inductor's freezing is on, which moves parameters from the inputs of graphs into them."""
    import torch._inductor.config

    with torch._inductor.config.patch(freezing=request.param):
        yield


def test_a_whole_graph_is_one_run(runs, freezing):
    model = Small().eval()
    fast = torch.compile(model, backend="tenon", options={"threads": 1})
    with torch.no_grad():
        for _ in range(2):
            x = torch.randn(2, 3, 6, 6)
            close(fast(x), model(x))
    assert len(runs) == 1
    assert len(runs[0].inputs) == 1, "parameters are constants"
    assert "conv" in runs[0].report()


def test_what_it_cannot_take_stays_in_pytorch(runs):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 4)

        def forward(self, x):
            y = torch.tanh(F.relu(self.first(x)) + 1)
            y = torch.special.bessel_j0(y) + torch.fft.fft(y).real
            return F.softmax(self.second(y) * 2, -1), y

    model = Mixed().eval()
    fast = torch.compile(model, backend="tenon", fullgraph=True)
    with torch.no_grad():
        for _ in range(2):
            x = torch.randn(3, 16)
            close(fast(x), model(x))
    assert len(runs) == 2
    assert all("dense" in str(run._module) for run in runs)


def test_graph_breaks(runs):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            y = F.relu(self.first(x))
            if y.sum() > 0:
                return F.relu(self.second(y)) + 1
            return F.relu(self.second(y)) - 1

    model = Broken().eval()
    fast = torch.compile(model, backend="tenon")
    with torch.no_grad():
        x = torch.randn(3, 8)
        close(fast(x), model(x))
    assert len(runs) == 2


def test_changed_parameters_are_noticed(freezing):
    model = Small().eval()
    fast = torch.compile(model, backend="tenon")
    x = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        before = fast(x)
        model.linear.weight.mul_(2)
        close(fast(x), model(x))
        assert not torch.allclose(fast(x)[0], before[0])
        model.load_state_dict(Small().state_dict())
        close(fast(x), model(x))
        model.norm.running_var.mul_(3)
        close(fast(x), model(x))


def test_gradients_are_left_to_pytorch(runs):
    model = Small().eval()
    fast = torch.compile(model, backend="tenon")
    x = torch.randn(2, 3, 6, 6)
    with pytest.warns(UserWarning, match="no gradients"):
        found = fast(x)
    found[0].sum().backward()
    assert model.conv.weight.grad is not None and not runs
    with torch.no_grad():
        close(fast(x), model(x))
    assert len(runs) == 1


def test_training_mode_is_left_to_pytorch():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    other = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    other.load_state_dict(model.state_dict())
    fast = torch.compile(model, backend="tenon")
    x = torch.randn(8, 4)
    with torch.no_grad():
        close(fast(x), other(x))
    close(model[1].running_mean, other[1].running_mean)
    assert model[1].num_batches_tracked == 1


def test_inputs_changed_in_place():
    def function(x, y):
        x.mul_(2)
        y[0] = x[1]
        return x + y

    fast = torch.compile(function, backend="tenon")
    x, y = torch.randn(3, 3), torch.randn(3, 3)
    a, b = x.clone(), y.clone()
    close(fast(x, y), function(a, b))
    close((x, y), (a, b))


def test_sizes_that_change(runs):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    fast = torch.compile(model, backend="tenon", dynamic=True)
    with torch.no_grad():
        for shape in ((2, 3, 8, 10), (3, 3, 9, 7), (5, 3, 20, 31)):
            x = torch.randn(shape)
            close(fast(x), model(x))
    assert len(runs) == 1


def test_strided_inputs_and_views_as_results():
    def function(x):
        y = torch.relu(x)
        return y.transpose(0, 1), y, x.view(-1), y + 1

    fast = torch.compile(function, backend="tenon")
    x = torch.randn(6, 4).t()[::2].contiguous()
    close(fast(x), function(x))
    wide = torch.randn(4, 8)[:, ::2]
    half = torch.compile(lambda x: torch.relu(x) * 2 + 1, backend="tenon")
    close(half(wide), torch.relu(wide) * 2 + 1)


def test_results_that_are_numbers_or_nothing():
    def function(x, n):
        return (x * n).relu() + 1, n + 1, None

    fast = torch.compile(function, backend="tenon")
    x = torch.randn(3, 3)
    for n in (2, 3, 4):
        found = fast(x, n)
        close(found[0], function(x, n)[0])
        assert found[1:] == (n + 1, None)


def test_inference_mode():
    model = Small().eval()
    fast = torch.compile(model, backend="tenon")
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        x = torch.randn(2, 3, 6, 6)
        close(fast(x), model(x))


def test_wrong_options():
    fast = torch.compile(Small().eval(), backend="tenon", options={"no_such_option": 1})
    with torch.no_grad(), pytest.raises(Exception, match="no_such_option"):
        fast(torch.randn(2, 3, 6, 6))


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_modes_of_other_backends_have_no_effect(runs, mode):
    model, x = Small().eval(), torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        close(torch.compile(model, backend="tenon", mode=mode)(x), model(x))
    assert runs


def test_whatever_goes_wrong_in_a_run_is_left_to_pytorch(monkeypatch):
    """Not the library's own errors alone."""
    def broken(self, tensors):
        raise RuntimeError("out of order")

    monkeypatch.setattr("tenon.torch._run.Runner.run", broken)
    model, x = Small().eval(), torch.randn(2, 3, 6, 6)
    fast = torch.compile(model, backend="tenon")
    with torch.no_grad():
        with pytest.warns(UserWarning, match="leaves a graph to PyTorch: RuntimeError: out of order"):
            close(fast(x), model(x))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            close(fast(x), model(x))


def odd_programs():
    """What people write that a compiler likes least; each runs in PyTorch."""
    x = torch.randn(1, 3, 8, 8)

    def in_place(a):
        b = a.clone()
        b.add_(1).mul_(2)
        b[0, 0] = 3
        b[:, :, 1:3].relu_()
        return b

    def into(a):
        made = torch.empty_like(a)
        torch.add(a, 1, out=made)
        return made.relu() * 2

    def branches(a):
        return a.relu() * 2 + 1 if a.sum() > 0 else a.sigmoid() - 1

    return {
        "complex inside": (lambda a: (torch.complex(a, a * 2) ** 2).abs() + 1, x),
        "complex outside": (lambda z: torch.sin(z * z + 1) * 2 - 1, torch.randn(3, 4, dtype=torch.complex64)),
        "nothing to do": (lambda a: a, x),
        "constants": (lambda a: (a.relu() * 2 + 1, torch.ones(3), 5, None, "text"), x),
        "branches on data": (branches, x),
        "torch.cond": (lambda a: torch.cond(a.sum() > 0, lambda t: t.relu() * 2 + 1, lambda t: t.sigmoid() - 1, (a,)), x),
        "in place": (in_place, x), "out=": (into, x),
        "sizes that depend on data": (lambda a: a[a > 0].relu() * 2 + 1, x),
        "a number": (lambda a: a.relu() * a.max().item() + 1, x),
        "another device": (lambda a: a.relu() * 2 + 1, x.to("meta")),
        "sparse": (lambda s: (s @ torch.ones(4, 2)).relu() * 2 + 1, torch.eye(4).to_sparse()),
        "8-bit floats": (lambda a: (a.float() * 2 + 1).relu(), torch.randn(4, 4).to(torch.float8_e4m3fn)),
        "16-bit integers": (lambda a: (a.float() * 2 + 1).relu().to(torch.uint16), torch.arange(8).to(torch.uint16)),
        "double": (lambda a: a.exp() * 2 - a.relu(), x.double()), "half": (lambda a: a.exp() * 2 - a.relu(), x.half()),
        "no elements": (lambda a: (a @ torch.ones(4, 3)).relu() * 2 + 1, torch.zeros(0, 4)),
        "no dimensions": (lambda a: a * 2 + 1 - a.exp(), torch.tensor(2.0)),
        "views": (lambda a: (a.view(-1), a.transpose(2, 3), a.relu() * 2 + 1), x),
        "no fixed strides": (lambda a: a.relu() * 2 + 1, torch.randn(1, 3, 1).expand(4, 3, 5)),
        "negated memory": (lambda a: a.relu() * 2 + 1, torch.complex(x, x).conj().imag),
    }


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("name", odd_programs())
def test_odd_programs_run(name, dynamic):
    function, x = odd_programs()[name]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, found = function(x), torch.compile(function, backend="tenon", dynamic=dynamic)(x)
    if x.device.type == "cpu":
        loose = {"rtol": 1e-2, "atol": 1e-2} if x.dtype == torch.float16 else {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(found, expected, **loose) if isinstance(expected, torch.Tensor) else None
    assert isinstance(found, type(expected))


def test_autocast(runs):
    """The types that autocast chose are in the graph."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = torch.compile(model, backend="tenon")(x), model(x)
    assert runs and found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=3e-2, atol=3e-2)
