"""tenon.onnxruntime in the place of onnxruntime: names, submodules, options and providers, beside ONNX Runtime itself."""

import importlib.util
import json
import pathlib
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tenon.onnxruntime as tort

ort = pytest.importorskip("onnxruntime")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def table_script():
    spec = importlib.util.spec_from_file_location("onnxruntime_table", ROOT / "scripts/onnxruntime-table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path(fixtures):
    return str(fixtures / "digits/digits.onnx")


def test_every_name_is_there():
    assert [name for name in table_script().names(ort) if not hasattr(tort, name)] == []
    assert "MISSING" not in table_script().table()


def test_table_of_names():
    """Written by scripts/onnxruntime-table.py."""
    script = table_script()
    if not ort.__version__.startswith("1.32"):
        pytest.skip("the table is of onnxruntime 1.32")
    text = script.DOCUMENT.read_text()
    assert text.split(script.BEGIN)[1].split(script.END)[0] == script.table()


@pytest.mark.parametrize("kind", [
    "InferenceSession", "SessionOptions", "RunOptions", "OrtValue", "IOBinding", "NodeArg", "ModelMetadata", "OrtDevice",
    "OrtMemoryInfo", "OrtEpDevice", "OrtArenaCfg"])
def test_every_method_is_there(kind, path):
    import onnxruntime

    theirs = {name for name in dir(getattr(onnxruntime, kind)) if not name.startswith("_")}
    ours = getattr(tort, kind)
    made = {
        "SessionOptions": lambda: ours(), "RunOptions": lambda: ours(), "OrtArenaCfg": lambda: ours({}),
        "NodeArg": lambda: tort.InferenceSession(path).get_inputs()[0], "OrtEpDevice": lambda: ours(),
        "ModelMetadata": lambda: tort.InferenceSession(path).get_modelmeta(),
        "OrtMemoryInfo": lambda: ours("Cpu", tort.OrtAllocatorType.ORT_ARENA_ALLOCATOR),
    }.get(kind, lambda: ours)()
    assert theirs - set(dir(made)) == set()


@pytest.mark.parametrize("kind", sorted(
    name for name in dir(ort) if isinstance(getattr(ort, name), type) and hasattr(getattr(ort, name), "__members__")))
def test_enumerations(kind):
    theirs = {name: int(value) for name, value in getattr(ort, kind).__members__.items()}
    ours = {name: int(value) for name, value in getattr(tort, kind).__members__.items()}
    assert ours == theirs


@pytest.mark.parametrize("kind", ["SessionOptions", "RunOptions"])
def test_options_have_the_same_defaults_and_no_others(kind):
    theirs, ours = getattr(ort, kind)(), getattr(tort, kind)()
    for name in dir(theirs):
        value = getattr(theirs, name)
        if name.startswith("_") or callable(value):
            continue
        found = getattr(ours, name)
        assert int(found) == int(value) if hasattr(value, "value") else found == value, name
        setattr(ours, name, found)
    for options in (theirs, ours):
        with pytest.raises(AttributeError, match="nonsense"):
            options.nonsense = 1
    with pytest.raises(AttributeError, match="did you mean|expected one of"):
        ours.intra_op_threads = 1


def outcome(function):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            function()
            raised = None
        except Exception as error:
            raised = type(error).__name__
    return raised, sorted(str(item.message).split("Available")[0] for item in seen)


@pytest.mark.parametrize("arguments", [
    {"providers": ["NopeExecutionProvider"]}, {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]},
    {"providers": [("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]},
    {"providers": ["CPUExecutionProvider", "CPUExecutionProvider"]}, {"providers": [3]}, {"providers": []},
    {"providers": ["CPUExecutionProvider"], "provider_options": [{}, {}]},
    {"providers": ["CPUExecutionProvider"], "provider_options": [{}]}, {"providers": 3},
    {"providers": ["CPUExecutionProvider"], "provider_options": [3]}, {"disabled_optimizers": ["ConstantFolding"]},
])
def test_providers_behave_as_there(path, arguments, capfd):
    # What falls back there with a message printed, and what does not exist here, is the CPU in both.
    assert outcome(lambda: tort.InferenceSession(path, **arguments)) == outcome(
        lambda: ort.InferenceSession(path, **arguments))


@pytest.mark.parametrize("expression", [
    "module.InferenceSession(3)", "session.run('probabilities', {'image': image})",
    "session.run(None, {'image': image, 'more': image})", "session.run(None, {})",
    "module.SessionOptions().get_session_config_entry('x')", "module.RunOptions().get_run_config_entry('x')",
    "module.SessionOptions().add_session_config_entry('x', 1)", "module.set_default_logger_severity(99)",
    "module.OrtValue.ortvalue_from_numpy(image, 'cuda', 0)", "session.run([], {'image': image})",
    "module.OrtDevice.make('cpu', 0).device_type()", "module.has_collective_ops()", "module.preload_dlls(cuda=True)",
    "module.OrtValue.ortvalue_from_numpy(image).tensor_size_in_bytes()", "module.get_ep_devices()[0].ep_name",
    "session.get_input_memory_infos()[0].name", "session.get_tuning_results()", "session.get_overridable_initializers()",
])
def test_questions_and_mistakes(path, expression):
    answers = []
    image = np.zeros((1, 1, 8, 8), np.float32)
    for module in (ort, tort):
        session = module.InferenceSession(path, providers=["CPUExecutionProvider"])
        try:
            answer = eval(expression)
            answers.append(answer if isinstance(answer, (int, str, bool)) else type(answer).__name__)
        except Exception as error:
            answers.append(type(error).__name__)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name, value", [
    ("intra_op_num_threads", "2"), ("inter_op_num_threads", None), ("graph_optimization_level", "all"), ("execution_mode", None),
    ("log_severity_level", 1.5), ("logid", 3), ("profile_file_prefix", None)])
def test_options_of_another_kind_are_refused(name, value):
    for module in (ort, tort):
        with pytest.raises(TypeError):
            setattr(module.SessionOptions(), name, value)
    options = tort.SessionOptions()
    with pytest.raises(TypeError, match=f"SessionOptions.{name} is a (number|text), found {type(value).__name__}"):
        setattr(options, name, value)
    options.intra_op_num_threads = np.int64(2)
    assert options.intra_op_num_threads == 2


def test_a_feed_that_is_no_mapping(path):
    image = np.zeros((1, 1, 8, 8), np.float32)
    with pytest.raises(TypeError, match="input_feed is a mapping of arrays by name, found list"):
        tort.InferenceSession(path).run(None, [image])


@pytest.mark.parametrize("use", [
    "tort.LoraAdapter()", "tort.AdapterFormat.read_adapter('x')", "tort.ModelCompiler(tort.SessionOptions(), 'x')",
    "tort.SparseTensor.sparse_coo_from_numpy()", "tort.SessionOptions().register_custom_ops_library('x.so')",
    "tort.SessionOptions().add_initializer('x', None)", "tort.register_execution_provider_library('x', 'x.so')",
    "tort.RunOptions().add_active_adapter(None)", "tort.SessionOptions().add_free_dimension_override_by_denotation('x', 1)",
])
def test_what_is_refused_says_why(use):
    with pytest.raises(tort.NotImplemented) as raised:
        eval(use)
    assert len(str(raised.value)) > 30


def test_optimized_model_is_written(path, tmp_path):
    options = tort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    image = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    expected = tort.InferenceSession(path, options).run(None, {"image": image})[0]
    found = ort.InferenceSession(options.optimized_model_filepath, providers=["CPUExecutionProvider"]).run(None, {"image": image})
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_spinning(path):
    for value, expected in (("0", "short"), ("1", "long")):
        options = tort.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", value)
        assert options._spin == expected
        tort.InferenceSession(path, options)


def test_ortvalue_vectors(path):
    image = tort.OrtValue.ortvalue_from_numpy(np.ones((1, 1, 8, 8), np.float32))
    session = tort.InferenceSession(path)
    fetches = tort.OrtValueVector()
    session.run_with_ortvaluevector(tort.RunOptions(), ["image"], [image], ["probabilities"], fetches, [])
    np.testing.assert_array_equal(fetches[0].numpy(), session.run(None, {"image": image.numpy()})[0])
    target = tort.OrtValue.ortvalue_from_shape_and_type(fetches[0].shape(), np.float32)
    tort.copy_tensors(fetches, [target])
    np.testing.assert_array_equal(np.asarray(target), np.asarray(fetches[0]))


class Pickable(tort.InferenceSession):
    """As programs derive that send sessions to other processes."""

    def __init__(self, path, **options):
        super().__init__(path, **options)
        self.path = path

    def __getstate__(self):
        return {"path": self.path}

    def __setstate__(self, values):
        self.__init__(values["path"])


def test_derived_sessions_are_pickled(path):
    again = pickle.loads(pickle.dumps(Pickable(path, providers=["CPUExecutionProvider"])))
    assert again.get_inputs()[0].name == "image"


IMPORTS = """
import json, sys
{prelude}
results = {{}}
for line in {lines!r}:
    try:
        exec(line, {{}})
        results[line] = "ok"
    except BaseException as error:
        results[line] = f"{{type(error).__name__}}: {{error}}"
print(json.dumps(results))
"""
OWN = [
    "import onnxruntime as o; assert o.__name__ == 'tenon.onnxruntime'",
    "from onnxruntime.capi._pybind_state import set_default_logger_severity",
    "from onnxruntime.capi._pybind_state import InvalidArgument; import tenon.onnxruntime as t; assert InvalidArgument is t.InvalidArgument",
    "from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, OrtValueVector, Fail, SessionIOBinding",
    "from onnxruntime.capi import _pybind_state as C; C.SessionOptions()",
    "from onnxruntime.capi.onnxruntime_inference_collection import OrtValue, IOBinding, Session, get_ort_device_type",
    "import onnxruntime; onnxruntime.capi.onnxruntime_pybind11_state.Fail",
    "import onnxruntime.capi.onnxruntime_validation as v; assert v.get_package_name_and_version_info()[0] == 'onnxruntime'",
    "import importlib.util; assert importlib.util.find_spec('onnxruntime') is not None",
    "from onnxruntime import *",
    # As onnxtr and gliner write it.
    "from onnxruntime import ExecutionMode, GraphOptimizationLevel, InferenceSession, RunOptions, SessionOptions, get_available_providers, get_device",
    "from onnxruntime.capi._pybind_state import set_default_logger_severity as f; f(4)",
    "import onnxruntime as o; s = o.SessionOptions(); s.intra_op_num_threads = -1; s.inter_op_num_threads = -1; s.enable_cpu_mem_arena = True",
    "import onnxruntime.capi._pybind_state as C; assert not hasattr(C, 'get_available_openvino_device_ids')",
]
THEIRS = [
    "from onnxruntime.quantization import QuantType", "from onnxruntime.quantization import quantize_dynamic",
    "import onnxruntime.tools", "import onnxruntime.backend", "from onnxruntime.transformers.onnx_model import OnnxModel",
    "from onnxruntime.datasets import get_example; get_example('sigmoid.onnx')",
]
# Weights are packed by functions of its module in C++.
PACKING = ["from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer",
           "from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits, quantize_qdq_matmul_4bits"]
NEVER = ["from onnxruntime.training import api"]


def run_imports(prelude, lines):
    program = IMPORTS.format(prelude=prelude, lines=lines)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("prelude", [
    "import tenon.onnxruntime; tenon.onnxruntime.install(); tenon.onnxruntime.install()",
    "import tenon.onnxruntime; sys.modules['onnxruntime'] = tenon.onnxruntime",
])
def test_submodules(prelude):
    results = run_imports(prelude, OWN + THEIRS + PACKING + NEVER)
    assert {line: text for line, text in results.items() if text != "ok" and line not in NEVER} == {}
    assert "only runs them" in results[NEVER[0]]


def test_without_onnxruntime():
    """Where it is not installed, its tools say so, and its version is answered for."""
    prelude = """
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec.__func__
def blind(cls, name, path=None, target=None):
    return None if name == "onnxruntime" else find(cls, name, path, target)
machinery.PathFinder.find_spec = classmethod(blind)
distributions = machinery.PathFinder.find_distributions
def fewer(*arguments):
    found = list(distributions(*arguments))
    return [each for each in found if (each.metadata["Name"] or "") != "onnxruntime"]
machinery.PathFinder.find_distributions = fewer
import tenon.onnxruntime; tenon.onnxruntime.install()
"""
    version = "import importlib.metadata as m; assert m.version('onnxruntime') == '1.32.0'"
    results = run_imports(prelude, [*OWN, version, *THEIRS])
    assert {line: text for line, text in results.items() if text != "ok" and line not in THEIRS} == {}
    for line in THEIRS:
        assert "not installed" in results[line], (line, results[line])


def test_quantization_runs_on_tenon(path, tmp_path):
    """A tool of ONNX Runtime's own on top of this package's sessions."""
    pytest.importorskip("onnx")
    program = f"""
import tenon.onnxruntime
tenon.onnxruntime.install()
from onnxruntime.quantization import quantize_dynamic, QuantType
quantize_dynamic({path!r}, {str(tmp_path / 'q.onnx')!r}, weight_type=QuantType.QUInt8)
import onnxruntime
assert onnxruntime is tenon.onnxruntime
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300, capture_output=True)
    assert (tmp_path / "q.onnx").stat().st_size > 0


def test_install_after_the_real_one_warns():
    program = """
import onnxruntime as real, warnings
import tenon.onnxruntime
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    tenon.onnxruntime.install()
assert "was imported before" in str(seen[0].message), seen
assert "__main__ keep it" in str(seen[0].message), seen[0].message
import onnxruntime
assert onnxruntime is tenon.onnxruntime
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize("name", ["onnxtr", "onnxtr.models", "gliner"])
def test_packages_that_import_onnxruntime(name):
    """Where they are installed: programs that take whatever `onnxruntime` is."""
    if importlib.util.find_spec(name.split(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    program = f"import tenon.onnxruntime as t; t.install(); import {name}, onnxruntime; assert onnxruntime is t"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300, capture_output=True)


def test_weights_are_packed_by_onnxruntime_itself():
    """Its quantisers of four bits call functions of its module in C++."""
    program = """
import numpy as np
import tenon.onnxruntime
tenon.onnxruntime.install()
from onnxruntime.capi._pybind_state import quantize_matmul_4bits
weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
packed, scales, zeros = np.zeros((32, 2, 16), np.uint8), np.zeros((32, 2), np.float32), np.zeros((32, 1), np.uint8)
quantize_matmul_4bits(packed, weights, scales, zeros, 32, 32, 64, True)
digits = np.stack([packed & 15, packed >> 4], -1).reshape(32, 2, 32).astype(np.float32)
found = ((digits - 8) * scales[:, :, None]).reshape(32, 64).T
assert np.abs(found - weights).max() <= np.abs(scales).max(), np.abs(found - weights).max()
import onnxruntime
assert onnxruntime is tenon.onnxruntime
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
