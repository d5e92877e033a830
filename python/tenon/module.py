"""Modules: functions in the IR, from ONNX files, texts or builders."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Protocol, Sequence

from ._attributes import Attributes
from ._handle import Handle, integers, new, strings, text
from ._lib import OnnxOptions, OnnxSaveOptions, PassOptions, PrintOptions, lib
from ._limits import limits
from ._names import did_you_mean, hinting, require_known, require_names
from ._progress import Progress, Reporter
from .errors import FileError, InvalidArgumentError, InvalidModelError, InvalidTypeError, NotFoundError, check
from .errors import check as _check
from .graph import Graph, OwnedGraph
from .info import Metadata, ModelInfo, read_info, write_info

if TYPE_CHECKING:
    from .drawing import Drawing
    from .executable import CancelToken
    from .quantization import Quantization


class Function:
    """One function of a module, as it is now."""

    def __init__(self, module: Module, name: str):
        self._module = module
        self.name = name

    @property
    def attributes(self) -> dict[str, Any]:
        """``Composite``, ``Codegen``, ``Primitive``, ``global_symbol`` and whatever else the function carries."""
        return self._module._attributes_of(self.name)

    def __str__(self) -> str:
        options = PrintOptions(struct_size=ctypes.sizeof(PrintOptions))
        return text(lib.tenon_module_print_function, self._module._handle, self.name.encode(), ctypes.byref(options))

    @property
    def graph(self) -> Graph:
        """Parameters, bindings and results, to read; as they are now."""
        return OwnedGraph(new(lib.tenon_module_get_function, self._module._handle, self.name.encode()))

    def __repr__(self) -> str:
        return f"<tenon.Function {self.name} {self.attributes}>"


class Functions(Mapping[str, Function]):
    """The functions of a module by name, in order of insertion."""

    def __init__(self, module: Module):
        self._module = module

    def __len__(self) -> int:
        return int(lib.tenon_module_function_count(self._module._handle))

    def __iter__(self) -> Iterator[str]:
        names = [lib.tenon_module_function_name(self._module._handle, index) for index in range(len(self))]
        return iter([name.decode() for name in names])

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __getitem__(self, name: str) -> Function:
        if name not in self:
            raise NotFoundError(f"the module has no function '{name}'", node=name)
        return Function(self._module, name)

    def __repr__(self) -> str:
        return f"[{', '.join(self)}]"


def _pass_options(
    level: int, disabled: Sequence[str], required: Sequence[str], rules: Sequence[str], timeout: float | None = None,
    cancel: CancelToken | None = None,
) -> PassOptions:
    return PassOptions(
        struct_size=ctypes.sizeof(PassOptions), optimization_level=level,
        disabled_passes=strings(list(disabled)), disabled_pass_count=len(disabled),
        required_passes=strings(list(required)), required_pass_count=len(required),
        disabled_rules=strings(list(rules)), disabled_rule_count=len(rules), **limits(timeout, cancel))


class Module(Handle):
    """A graph in the IR: functions by name, of which ``main`` is the one that runs.

    Passes give new modules and leave the old one as it is. Printing a module gives its text form.

    >>> module = Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
    >>> print(module)
    fn @main(%x: f32[2]) -> f32[2] {
      %y: f32[2] = nn.relu(%x)
      return %y
    }
    <BLANKLINE>
    >>> Module.parse(str(module)) == module
    True
    """

    _release = "tenon_module_release"

    def __init__(self) -> None:
        """A module without functions."""
        super().__init__(new(lib.tenon_module_create))

    @classmethod
    def _take(cls, address: int) -> Module:
        module = cls.__new__(cls)
        Handle.__init__(module, address)
        return module

    # Loading

    @classmethod
    @hinting
    def load_onnx(
        cls, model: str | os.PathLike[str] | bytes | bytearray | memoryview, *, dimensions: Mapping[str, int] | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None, directory: str | os.PathLike[str] | None = None,
        max_file_bytes: int = 0, progress: Progress | None = None, timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Module:
        """Imports an ONNX model from a file or from bytes.

        Args:
            model: a path, or the model itself.
            dimensions: sizes for named dimensions of the model (``{"batch": 1}``); others stay symbolic.
            shapes: shapes for inputs by name, in place of the declared ones.
            directory: where external data of a model in bytes may lie; nowhere by default.
            max_file_bytes: refuse larger files; 0 for the default.
            progress: called as ``progress("import", done, total)`` with numbers of nodes; what it raises ends the import.
            timeout: seconds after which the call raises DeadlineExceededError; so on every call that has it.
            cancel: a token that ends the call with CancelledError; so on every call that has it.

        Raises:
            FileError, InvalidModelError, LimitExceededError; UnsupportedError with every operator that is not supported.
        """
        names, sizes = list((dimensions or {}).keys()), list((dimensions or {}).values())
        inputs = list((shapes or {}).items())
        arrays = [integers(list(shape)) for _, shape in inputs]
        pointers = (ctypes.POINTER(ctypes.c_int64) * max(len(arrays), 1))(
            *[ctypes.cast(array, ctypes.POINTER(ctypes.c_int64)) for array in arrays])
        options = OnnxOptions(
            struct_size=ctypes.sizeof(OnnxOptions), max_file_bytes=max_file_bytes,
            directory=None if directory is None else os.fsencode(directory),
            dimension_names=strings(names), dimension_values=integers(sizes) if sizes else None,
            dimension_count=len(names),
            input_names=strings([name for name, _ in inputs]),
            input_shapes=pointers if inputs else None,
            input_ranks=(ctypes.c_uint32 * len(inputs))(*[len(shape) for _, shape in inputs]) if inputs else None,
            input_count=len(inputs), **limits(timeout, cancel))
        with Reporter(progress) as reporter:
            options.progress = reporter.function
            if isinstance(model, (bytes, bytearray, memoryview)):
                data = bytes(model)
                return cls._take(new(lib.tenon_module_parse_onnx, data, len(data), ctypes.byref(options)))
            return cls._take(new(lib.tenon_module_load_onnx, os.fsencode(model), ctypes.byref(options)))

    @classmethod
    def parse(cls, source: str) -> Module:
        """Reads the text form, or Relax's TVMScript.

        Raises:
            ParseError: with line, column and what was expected.
        """
        data = source.encode()
        return cls._take(new(lib.tenon_module_parse, data, len(data)))

    # Saving

    @hinting
    def save_onnx(
        self, path: str | os.PathLike[str], *, external_data: bool = False, size_threshold: int = 1024,
        location: str | None = None, timeout: float | None = None, cancel: CancelToken | None = None,
    ) -> None:
        """Writes ``main`` as an ONNX model of operator set 20; composites and regions are written out in place.

        Files are replaced when all is written: a call that fails leaves nothing behind.

        Args:
            path: the model's file.
            external_data: constants go to a file beside the model. A model over 2 GiB is written so in any case.
            size_threshold: constants of fewer bytes stay in the model.
            location: the name of the file beside the model; None for the model's with ``.data`` added.

        Raises:
            UnsupportedError, which names the operator that has no form in ONNX; FileError.
        """
        options = OnnxSaveOptions(
            struct_size=ctypes.sizeof(OnnxSaveOptions), external_data=int(external_data),
            # 0 would mean the default.
            size_threshold=max(size_threshold, 1), location=None if location is None else os.fsencode(location),
            **limits(timeout, cancel))
        check(lib.tenon_module_save_onnx(self._handle, os.fsencode(path), ctypes.byref(options)))

    def serialize_onnx(self) -> bytes:
        """The bytes that ``save_onnx`` would write.

        Raises:
            UnsupportedError; LimitExceededError for a model over 2 GiB.
        """
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        check(lib.tenon_module_serialize_onnx(self._handle, ctypes.byref(data), ctypes.byref(size)))
        try:
            return ctypes.string_at(data, size.value)
        finally:
            lib.tenon_bytes_release(data)

    # Looking

    @hinting
    def print(
        self, *, inline_elements: int = 0, with_data: bool = False, timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> str:
        """The text form.

        Args:
            inline_elements: constants with at most so many elements are written out; 0 for 16.
            with_data: add the data of all constants, so that the text parses back to an equal module.
        """
        options = PrintOptions(
            struct_size=ctypes.sizeof(PrintOptions), inline_elements=inline_elements, with_data=int(with_data),
            **limits(timeout, cancel))
        return text(lib.tenon_module_print, self._handle, ctypes.byref(options))

    def script(
        self, *, inline_elements: int = 0, with_data: bool = False, timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> str:
        """The module as TVMScript, which Apache TVM reads where it has the operators; arguments as those of ``print``.

        >>> print(Module.parse("fn @main(%x: f32[n,4]) { %y = nn.relu(%x) return %y }").script())
        # from tvm.script import ir as I
        # from tvm.script import relax as R
        <BLANKLINE>
        @I.ir_module
        class Module:
            @R.function
            def main(x: R.Tensor(("n", 4), dtype="float32")) -> R.Tensor(("n", 4), dtype="float32"):
                n = T.int64()
                y: R.Tensor((n, 4), dtype="float32") = R.nn.relu(x)
                return y
        <BLANKLINE>
        """
        options = PrintOptions(
            struct_size=ctypes.sizeof(PrintOptions), inline_elements=inline_elements, with_data=int(with_data),
            **limits(timeout, cancel))
        return text(lib.tenon_module_print_tvmscript, self._handle, ctypes.byref(options))

    def __str__(self) -> str:
        return self.print()

    def __repr__(self) -> str:
        if self.closed:
            return "<tenon.Module closed>"
        return f"<tenon.Module with functions {', '.join(self.functions) or 'none'}>"

    @property
    def functions(self) -> Functions:
        return Functions(self)

    @property
    def attributes(self) -> dict[str, Any]:
        return self._attributes_of(None)

    def _attributes_of(self, function: str | None) -> dict[str, Any]:
        name = None if function is None else function.encode()
        with Attributes(address=new(lib.tenon_module_get_attributes, self._handle, name)) as attributes:
            return attributes.read()

    def set_attributes(self, values: Mapping[str, Any], function: str | None = None) -> None:
        """Replaces the attributes of a function, or of the module itself."""
        name = None if function is None else function.encode()
        with Attributes(values) as attributes:
            check(lib.tenon_module_set_attributes(self._handle, name, attributes.address))

    @property
    def is_fused(self) -> bool:
        """Whether a function carries ``Composite`` or ``Codegen``: ``tenon.compile`` takes such a module as it stands."""
        return bool(lib.tenon_module_is_fused(self._handle))

    @property
    def info(self) -> ModelInfo:
        """Who made the model, its version, its operator sets and its metadata. May be set.

        >>> import dataclasses
        >>> module = Module.parse("fn @main(%x: f32[2]) -> f32[2] { return %x }")
        >>> module.info = dataclasses.replace(module.info, producer_name="me")
        >>> module.info.producer_name
        'me'
        """
        return read_info(self._handle)

    @info.setter
    def info(self, value: ModelInfo) -> None:
        write_info(self._handle, value)

    @property
    def metadata(self) -> Metadata:
        """The model's ``metadata_props`` by key: labels, tokens and whatever else its maker added. Passes keep them, and
        ``save_onnx`` writes them. Changing it changes the module.

        >>> module = Module.parse("fn @main(%x: f32[2]) -> f32[2] { return %x }")
        >>> module.metadata["classes"] = "cat,dog"
        >>> dict(module.metadata)
        {'classes': 'cat,dog'}
        """
        return Metadata(self)

    def __getitem__(self, name: str) -> Function:
        return self.functions[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Module):
            return NotImplemented
        equal = ctypes.c_int32()
        check(lib.tenon_module_equal(self._handle, other._handle, ctypes.byref(equal)))
        return bool(equal.value)

    __hash__ = None  # type: ignore[assignment]  # How Python says that something cannot be hashed.

    def __setitem__(self, name: str, function: Function) -> None:
        """Puts a function of any module here under ``name``."""
        graph = function.graph
        check(lib.tenon_module_set_function(self._handle, name.encode(), graph._handle))

    def verify(self) -> None:
        """Checks scopes, types, signatures and attributes again; raises what is wrong."""
        check(lib.tenon_module_verify(self._handle))

    # Changing

    def copy(self) -> Module:
        return Module._take(new(lib.tenon_module_copy, self._handle))

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.print(with_data=True), self.info)

    @hinting
    def apply(
        self, *passes: str, level: int = 0, disabled: Sequence[str] = (), required: Sequence[str] = (),
        disabled_rules: Sequence[str] = (), timeout: float | None = None, cancel: CancelToken | None = None,
    ) -> Module:
        """A new module, with passes applied one after the other, by name (``tenon.passes()``)."""
        result = self.copy()
        for what, names in (("disabled", disabled), ("required", required)):
            require_names(names, _library_passes(), what, "pass")
        options = _pass_options(level, disabled, required, disabled_rules, timeout, cancel)
        for name in passes:
            check(lib.tenon_module_apply(result._handle, name.encode(), ctypes.byref(options)))
        return result

    @hinting
    def optimize(
        self, *, level: int = 0, disabled: Sequence[str] = (), required: Sequence[str] = (),
        disabled_rules: Sequence[str] = (), timeout: float | None = None, cancel: CancelToken | None = None,
    ) -> Module:
        """A new module after the default pipeline: fused, and partitioned into regions of backends.

        Args:
            level: 1 to 3; passes of a higher level are left out; 0 for 2.
            disabled: passes that are left out, by name.
            required: passes that run whatever their level.
            disabled_rules: fusion rules that are not applied, by name.
        """
        result = self.copy()
        for what, names in (("disabled", disabled), ("required", required)):
            require_names(names, _library_passes(), what, "pass")
        options = _pass_options(level, disabled, required, disabled_rules, timeout, cancel)
        check(lib.tenon_module_optimize(result._handle, ctypes.byref(options)))
        return result

    @hinting
    def fuse(
        self, rules: str, *, bind_constants: bool = True, annotate_codegen: bool = False,
        disabled_rules: Sequence[str] = (), timeout: float | None = None, cancel: CancelToken | None = None,
        check: Callable[[Any], Any] | None = None, attrs_getter: Callable[[Any], Any] | None = None,
    ) -> Module:
        """A new module in which every match of the rules is a function of its own.

        Args:
            rules: fusion rules in text, first rule first: ``"dnnl.conv2d_relu = nn.relu(nn.conv2d(*, *));"``.
            bind_constants: tensor literals stay inside the functions made; otherwise they become parameters.
            annotate_codegen: each match becomes a region that carries ``Codegen``; otherwise a composite.
            disabled_rules: rules that are not applied, by name.
            check: whether to fuse, asked of each match, as a check of ``tenon.transform.FusionPattern`` is; nodes that the rules
                name are the labels.
            attrs_getter: attributes of the function made, of what the named nodes met.

        >>> module = Module.parse('''
        ... fn @main(%x: f32[2,3], %w: f32[3,4]) -> f32[2,4] {
        ...   dataflow {
        ...     %y: f32[2,4] = matmul(%x, %w)
        ...     %z: f32[2,4] = nn.relu(%y)
        ...     output %z
        ...   }
        ...   return %z
        ... }''')
        >>> module.fuse("mine.matmul_relu = nn.relu(matmul(*, *));").functions
        [main, fused_relax_matmul_relax_nn_relu]
        """
        result = self.copy()
        options = _pass_options(0, (), (), disabled_rules, timeout, cancel)
        flags = (0 if bind_constants else 1) | (2 if annotate_codegen else 0)
        if check is None and attrs_getter is None:
            _check(lib.tenon_module_fuse(result._handle, rules.encode(), flags, ctypes.byref(options)))
            return result
        from .transform import _Rules

        given = _Rules.of_text(rules, check, attrs_getter)
        given.status(
            lib.tenon_module_fuse_rules(result._handle, given.array, given.count, flags, ctypes.byref(options)))
        return result

    @hinting
    def rewrite(self, rule: str, *, timeout: float | None = None, cancel: CancelToken | None = None) -> Module:
        """A new module, rewritten by a rule in text until nothing changes: the functions ``before`` and ``after``."""
        result = self.copy()
        options = _pass_options(0, (), (), (), timeout, cancel)
        check(lib.tenon_module_rewrite(result._handle, rule.encode(), ctypes.byref(options)))
        return result

    @hinting
    def explain(
        self, rules: str | None = None, *, json: bool = False, disabled_rules: Sequence[str] = (),
        timeout: float | None = None, cancel: CancelToken | None = None,
    ) -> str:
        """What fusion rules would fuse, and for each near miss the first thing that failed.

        Args:
            rules: rules in text, as for ``fuse``; None for the library's own.
            json: an object with the lists ``fused`` and ``near_misses`` instead of lines for people.
            disabled_rules: rules that are not applied, by name.
        """
        options = _pass_options(0, (), (), disabled_rules, timeout, cancel)
        return text(
            lib.tenon_module_explain, self._handle, None if rules is None else rules.encode(), int(json),
            ctypes.byref(options))

    @hinting
    def quantize(
        self, dataset: Iterable[Any] | None = None, *, mode: str = "static", calibration: str = "minmax",
        percentile: float = 99.99, activations: str = "u8", per_channel: bool = True, equalize: bool = False,
        correct_bias: bool = False, tolerance: float | None = None, exclude: Sequence[str] = (), measured_samples: int = 8,
        times: bool = True, threads: int = 0, progress: Progress | None = None, timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Quantization:
        """A new module that computes with small integers, and a report.

        Weights become i8, symmetric. The module is an ordinary one: ``save_onnx`` writes QuantizeLinear and
        DequantizeLinear. It must not be fused yet.

        Args:
            dataset: samples; each an array, a list of arrays, or a mapping by input name. All are held at once. Dynamic
                quantisation needs none, but only with samples there are errors, times and a tolerance.
            mode: ``"static"``: scales of activations come from the samples; ``"dynamic"``: from each tensor as it comes, of
                layers with known weights only.
            calibration: what a scale covers of the values met: ``"minmax"`` all, ``"percentile"`` all but the outermost,
                ``"entropy"`` the part whose distribution 256 steps tell best, ``"mse"`` the part with the smallest mean
                squared error.
            percentile: of values that ``"percentile"`` keeps.
            activations: ``"u8"`` or ``"i8"``.
            per_channel: one scale per output channel of a weight instead of one for all.
            equalize: even out the ranges of channels between two layers first: for networks of depthwise convolutions.
            correct_bias: take the mean error that rounded weights make out of biases.
            tolerance: the largest ``error`` of the result; the layers that cost most stay as they are until it is kept.
            exclude: layers, by their names in the report, that stay as they are.
            measured_samples: how many samples are compared; 0 for 8.
            times: whether times are measured.
            threads: of the runs; 0 for the CPUs that the process may use.
            progress: called with the stages ``"calibrate"`` and ``"compare"``; what it raises ends the work.

        Raises:
            InvalidArgumentError: no samples for calibration, NaN or infinity in one, an option out of range;
            InvalidShapeError, InvalidTypeError: a sample that is no input of the module; UnsupportedError: nothing to quantise;
            InvalidStateError: the module is fused; NotFoundError: a name in ``exclude`` that is no layer's.
        """
        from .quantization import quantize

        return quantize(
            self, dataset, mode, calibration, percentile, activations, per_channel, equalize, correct_bias, tolerance, exclude,
            measured_samples, times, threads, progress, timeout, cancel)

    def draw(self) -> Drawing:
        """The graph of ``main`` with its regions opened, for Graphviz and for notebooks."""
        from .drawing import Drawing

        return Drawing(self)

    def _repr_svg_(self) -> str | None:
        return None if self.closed or "main" not in self.functions else self.draw().svg

    def remove_function(self, name: str) -> None:
        """Takes a function away that no other one calls."""
        check(lib.tenon_module_remove_function(self._handle, name.encode()))


def _restore(source: str, info: ModelInfo | None = None) -> Module:
    # A function of its own: cloudpickle (and with it Ray) takes class methods apart.
    module = Module.parse(source)
    if info is not None:
        module.info = info
    return module


#: What ``load`` takes for ONNX models.
_LOAD_OPTIONS = ("dimensions", "shapes", "directory", "max_file_bytes", "progress", "timeout", "cancel")


class SupportsSerialize(Protocol):
    """A message of protobuf, as ``onnx.ModelProto``."""

    def SerializeToString(self) -> bytes: ...


class SupportsRead(Protocol):
    """A file that is open for reading."""

    def read(self) -> Any: ...


def load(
    model: str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsRead | SupportsSerialize, **options: Any
) -> Module:
    """Loads a module.

    Args:
        model: the path of an ONNX model or of a text; an ONNX model in bytes; a file that is open, in binary or text mode; an
            ``onnx.ModelProto``.
        options: for ONNX models, those of ``Module.load_onnx``: ``dimensions``, ``shapes``, ``directory``, ``max_file_bytes``,
            ``progress``.

    Raises:
        FileError, InvalidModelError, LimitExceededError, UnsupportedError for ONNX models, ParseError for texts;
        InvalidTypeError: it is none of these, or there is no such option.

    >>> import io
    >>> load(io.StringIO("fn @main(%x: f32[2]) -> f32[2] { return %x }"))
    <tenon.Module with functions main>
    """
    require_known(options, _LOAD_OPTIONS, "load")
    source: Any = model
    if hasattr(source, "SerializeToString"):
        if not hasattr(source, "graph"):
            raise InvalidTypeError.mismatch("load", "an onnx.ModelProto", type(model).__name__)
        source = source.SerializeToString()
    elif hasattr(source, "read") and not hasattr(source, "__fspath__"):
        try:
            source = source.read()
        except UnicodeDecodeError as error:
            raise InvalidTypeError('load: the file is open as text, and holds none; open it with mode "rb"') from error
        if isinstance(source, str):
            return _parse(source, options)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Module.load_onnx(source, **options)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidTypeError.mismatch(
            "load", "a path, bytes, an open file or an onnx.ModelProto", type(model).__name__)
    path = os.fspath(source)
    if isinstance(path, str) and "\n" in path:
        raise InvalidArgumentError("load expects a path, found a text of several lines; tenon.Module.parse reads texts")
    if str(os.fsdecode(path)).endswith(".onnx") or _looks_like_onnx(path):
        return Module.load_onnx(source, **options)
    try:
        with open(path, encoding="utf-8") as file:
            return _parse(file.read(), options)
    except OSError as error:
        raise FileError(f"{os.fsdecode(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidModelError(f"{os.fsdecode(path)}: neither an ONNX model nor a text") from error


def _parse(source: str, options: Mapping[str, Any]) -> Module:
    if options:
        raise InvalidTypeError(f"options {', '.join(options)} are for ONNX models, found a text")
    return Module.parse(source)


def _looks_like_onnx(path: str | bytes) -> bool:
    """Whether a file begins as protobuf does; texts begin with a letter."""
    try:
        with open(path, "rb") as file:
            return file.read(1) == b"\x08"
    except OSError:
        # Whoever opens it says what is wrong.
        return False


def passes() -> list[str]:
    """Names of all passes."""
    return [lib.tenon_pass_name(index).decode() for index in range(lib.tenon_pass_count())]


#: In methods that have a parameter of that name.
_library_passes = passes


def operators() -> list[str]:
    """Names of all operators."""
    return [lib.tenon_operator_name(index).decode() for index in range(lib.tenon_operator_count())]


def describe(operator: str) -> str:
    """Inputs, attributes and formula of an operator.

    >>> "nn.relu" in describe("nn.relu")
    True
    >>> describe("nn.rely")
    Traceback (most recent call last):
    tenon.errors.NotFoundError: unknown operator 'nn.rely'; did you mean 'nn.relu'?

    Raises:
        NotFoundError: there is no operator of that name.
    """
    try:
        return text(lib.tenon_operator_describe, operator.encode())
    except NotFoundError as error:
        raise NotFoundError(f"{error}; {did_you_mean(operator, operators())}", operator=operator) from None
