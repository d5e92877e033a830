"""Programs of torch.export as modules: structure, constants, structure of arguments and results, refusals."""

import gc

import pytest

import heavy

heavy.require("torch")

import tenon  # noqa: E402
import tenon.torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

COMPOSITE = "dnnl.conv2d_reshape_add_relu"


class Net(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def export(function, args, dynamic_shapes=None, **modules):
    torch.manual_seed(0)
    return torch.export.export(Net(function, **modules).eval(), args, dynamic_shapes=dynamic_shapes)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(20261122)


def conv_relu(bias=True):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.ReLU()).eval()


def test_a_convolution_with_bias_is_fused_by_the_pass_of_that_name():
    model, x = conv_relu(), torch.randn(2, 3, 10, 10)
    module = tenon.torch.from_exported_program(torch.export.export(model, (x,)))
    text = str(module)
    assert [text.count(name) for name in ("nn.conv2d(", "reshape(", "add(", "nn.relu(")] == [1, 1, 1, 1]
    assert "shape[1,8,1,1]" in text
    fused = module.apply("FuseConv2dReshapeAddRelu")
    made = [f for f in fused.functions.values() if f.attributes.get("Composite") == COMPOSITE]
    assert len(made) == 1
    merged = fused.apply("MergeCompositeFunctions")
    assert sum(f.attributes.get("Codegen") == "dnnl" for f in merged.functions.values()) == 1
    expected = model(x).detach()
    for stage in (module, fused, merged, module.optimize()):
        found = torch.from_numpy(tenon.compile(stage, optimize=False)(x))
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_convolution_without_bias_is_not():
    x = torch.randn(2, 3, 10, 10)
    module = tenon.torch.from_exported_program(torch.export.export(conv_relu(bias=False), (x,)))
    assert "reshape" not in str(module)
    assert COMPOSITE not in str(module.apply("FuseConv2dReshapeAddRelu"))


def test_parameters_stay_in_pytorchs_memory():
    from tenon import builder

    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64))

        def forward(self, x):
            return x @ self.weight

    gc.collect()
    before = dict(builder._borrowed)
    model = Given()
    module = tenon.torch.from_exported_program(torch.export.export(model, (torch.randn(2, 64),)))
    new = [tensor for ticket, tensor in builder._borrowed.items() if ticket not in before]
    assert [tensor.data_ptr() for tensor in new] == [model.weight.data_ptr()]
    # They live as long as the module, and no longer.
    x, expected = torch.randn(2, 64), None
    with torch.no_grad():
        expected = model(x)
    del model, new
    gc.collect()
    torch.testing.assert_close(torch.from_numpy(tenon.compile(module)(x)), expected)
    module.close()
    gc.collect()
    assert set(builder._borrowed) <= set(before)


def test_tied_parameters_are_one_constant():
    first = nn.Linear(16, 16, bias=False)
    second = nn.Linear(16, 16, bias=False)
    second.weight = first.weight
    program = export(lambda m, x: m.second(m.first(x)), (torch.randn(1, 16),), first=first, second=second)
    text = str(tenon.torch.from_exported_program(program))
    assert "const#0" in text and "const#1" not in text


def test_inputs_and_results_keep_their_structure():
    def function(m, x, pair, *, scale, flag=True):
        a, b = pair["a"], pair["b"]
        return {"sum": (x + a) * scale if flag else x, "list": [b, (x - b, 7, None)]}

    model = Net(function)
    x, pair, scale = torch.randn(3), {"a": torch.randn(3), "b": torch.randn(3)}, torch.tensor(2.0)
    run = tenon.torch.compile(model, (x, pair), kwargs={"scale": scale})
    y, other = torch.randn(3), {"a": torch.randn(3), "b": torch.randn(3)}
    found, expected = run(y, other, scale=scale), model(y, other, scale=scale)
    assert set(found) == {"sum", "list"} and found["list"][1][1:] == (7, None)
    torch.testing.assert_close(found, expected)
    with pytest.raises(tenon.InvalidArgumentError, match="structure"):
        run(y, [y, y], scale=scale)
    with pytest.raises(tenon.InvalidArgumentError, match="structure"):
        run(y, other)


def test_numbers_among_the_arguments_are_fixed():
    run = tenon.compile(Net(lambda m, x, n: x * n), (torch.ones(2), 3))
    torch.testing.assert_close(run(torch.ones(2), 3), torch.full((2,), 3.0))
    with pytest.raises(tenon.InvalidArgumentError, match="was 3"):
        run(torch.ones(2), 4)


def test_an_input_and_one_value_twice_as_results():
    run = tenon.compile(Net(lambda m, x: (x, y := x + 1, y)), (torch.zeros(2),))
    x = torch.randn(2)
    found = run(x)
    torch.testing.assert_close(found, (x, x + 1, x + 1))


def test_symbolic_sizes():
    n, h = torch.export.Dim("n", min=1, max=32), torch.export.Dim("h", min=4, max=64)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5)).eval()
    run = tenon.torch.compile(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: n, 2: h, 3: h},))
    with torch.no_grad():
        for shape in ((1, 3, 4, 4), (5, 3, 9, 9), (32, 3, 12, 12), (2, 3, 8, 8)):
            x = torch.randn(shape)
            torch.testing.assert_close(run(x), model(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(tenon.InvalidShapeError, match="1 to 32"):
        run(torch.randn(33, 3, 8, 8))
    with pytest.raises(tenon.InvalidShapeError):
        run(torch.randn(2, 4, 8, 8))
    with pytest.raises(tenon.InvalidShapeError):
        run(torch.randn(2, 3, 8, 9))


def test_sizes_in_computations():
    def function(m, x):
        n, c, h, w = x.shape
        y = x.reshape(n, c * h, w).transpose(1, 2).flatten(1)
        grid = torch.arange(h, dtype=torch.float32) / h
        return y, x * grid.view(h, 1), torch.cat([x, x[:, :, 1:]], 2), F.interpolate(x, scale_factor=2), x.mean(dim=(2, 3))

    n, h = torch.export.Dim("n"), torch.export.Dim("h", min=3, max=100)
    program = export(function, (torch.randn(2, 3, 8, 4),), dynamic_shapes=(({0: n, 2: h},),))
    run = tenon.compile(program)
    for shape in ((3, 3, 5, 4), (2, 3, 8, 4), (7, 3, 31, 4)):
        x = torch.randn(shape)
        torch.testing.assert_close(run(x), function(None, x))


def test_everything_unsupported_is_listed_with_its_line():
    class Odd(nn.Module):
        def forward(self, x):
            y = torch.fft.fft(x).real
            z = torch.special.bessel_j0(x)
            return F.relu(y) + z

    with pytest.raises(tenon.UnsupportedError) as caught:
        tenon.torch.from_exported_program(torch.export.export(Odd(), (torch.randn(4),)))
    text = str(caught.value)
    assert "2 operators" in text and "bessel_j0" in text and "fft" in text
    assert __file__ in text and "torch.special.bessel_j0(x)" in text
    assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("module, what", [
    (nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), "eval"), (nn.Dropout(0.5), "random|eval"),
])
def test_training_mode_is_refused_with_the_way_out(module, what):
    module.train()
    with pytest.raises(tenon.UnsupportedError, match=what):
        tenon.compile(module, torch.randn(2, 3, 4, 4))


def test_changed_buffers_are_refused():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(3))

        def forward(self, x):
            self.calls.add_(1)
            return x + self.calls

    with pytest.raises(tenon.UnsupportedError, match="buffer 'calls'"):
        tenon.compile(Counter(), torch.randn(3))

    def function(m, x):
        x.mul_(2)
        return x + 1

    with pytest.raises(tenon.UnsupportedError, match="input 'args_0'"):
        tenon.compile(Net(function), torch.randn(3))


def test_changes_in_place_of_intermediates():
    def function(m, x):
        y = x + 1
        y.relu_().mul_(2)
        z = x * 1
        z[:, 1] = y[:, 0]
        w = torch.zeros(4, 4)
        w[1:3, 1:3] = 5
        w[0].add_(1)
        v = (x - 1).view(-1)
        v.clamp_(min=0)
        return y, z, x * w, v.view(4, 4) + x

    x = torch.randn(4, 4)
    run = tenon.compile(Net(function), (x,))
    for _ in range(2):
        x = torch.randn(4, 4)
        torch.testing.assert_close(run(x), function(None, x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.bool])
def test_element_types(dtype):
    def function(m, x):
        if dtype == torch.bool:
            return x | ~x.flip(0), x.to(torch.float32)
        return x * 2 + x, x.to(torch.float32) / 3

    x = (torch.randn(5, 7) * 10).to(dtype)
    run = tenon.compile(Net(function), (x,))
    found, expected = run(x), function(None, x)
    assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in expected]
    torch.testing.assert_close(found, expected)


def test_half_precision_layers():
    for dtype, tolerance in ((torch.bfloat16, 2e-2), (torch.float16, 4e-3)):
        model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)).to(dtype).eval()
        x = torch.randn(3, 16).to(dtype)
        expected = model(x).detach().float()
        found = tenon.compile(model, x)(x)
        assert found.dtype == dtype
        assert (found.float() - expected).abs().max() <= tolerance * expected.abs().max()


def test_what_is_no_program_is_refused():
    with pytest.raises(tenon.InvalidArgumentError, match="ExportedProgram"):
        tenon.torch.from_exported_program(nn.ReLU())
    with pytest.raises(TypeError, match="torch.nn.Module"):
        tenon.compile(3)
    with pytest.raises(tenon.InvalidArgumentError, match="example_inputs"):
        tenon.compile(nn.ReLU())
    with pytest.raises(tenon.UnsupportedError, match="complex"):
        tenon.compile(nn.ReLU(), torch.zeros(2, dtype=torch.complex64))
