"""Finds libtenon and declares its functions: the C types of include/tenon.h, nothing more."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import subprocess
from ctypes import (
    CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64,
    c_void_p,
)
from typing import Any, Iterator

ABI_VERSION = 0


#: tenon_progress_function
ProgressFunction = CFUNCTYPE(c_int32, c_char_p, c_uint64, c_uint64, c_void_p)


#: The last fields of the options of every call that may take long.
LIMITS: list[Any] = [("timeout_nanoseconds", c_uint64), ("cancel", c_void_p)]


class Tensor(Structure):
    """tenon_tensor"""

    _fields_ = [
        ("struct_size", c_uint32), ("dtype", c_uint32), ("rank", c_uint32), ("flags", c_uint32),
        ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("data", c_void_p), ("byte_count", c_size_t),
    ]


class PrintOptions(Structure):
    """tenon_print_options"""

    _fields_ = [("struct_size", c_uint32), ("inline_elements", c_uint32), ("with_data", c_uint32), *LIMITS]


class OnnxOptions(Structure):
    """tenon_onnx_options"""

    _fields_ = [
        ("struct_size", c_uint32), ("max_rank", c_uint32), ("max_nesting", c_uint32), ("max_nodes", c_uint32),
        ("max_file_bytes", c_uint64), ("max_structure_bytes", c_uint64), ("max_tensor_bytes", c_uint64),
        ("directory", c_char_p),
        ("dimension_names", POINTER(c_char_p)), ("dimension_values", POINTER(c_int64)), ("dimension_count", c_size_t),
        ("input_names", POINTER(c_char_p)), ("input_shapes", POINTER(POINTER(c_int64))),
        ("input_ranks", POINTER(c_uint32)), ("input_count", c_size_t),
        ("progress", ProgressFunction), ("progress_data", c_void_p), *LIMITS,
    ]


class OnnxSaveOptions(Structure):
    """tenon_onnx_save_options"""

    _fields_ = [
        ("struct_size", c_uint32), ("external_data", c_uint32), ("size_threshold", c_uint64), ("location", c_char_p),
        *LIMITS,
    ]


#: tenon_log_function
LogFunction = CFUNCTYPE(None, c_uint32, c_char_p, c_void_p)

#: Callbacks of a host. Text and handles arrive as addresses.
ReleaseFunction = CFUNCTYPE(None, c_void_p)
CheckFunction = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)
AttributesFunction = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)
RewriteFunction = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)
PassFunction = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)


class PassEvent(Structure):
    """tenon_pass_event"""

    _fields_ = [
        ("struct_size", c_uint32), ("depth", c_uint32), ("name", c_char_p), ("module", c_void_p),
        ("nanoseconds", c_uint64),
    ]


class Region(Structure):
    """tenon_region"""

    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("handle", c_void_p), ("workspace_bytes", c_uint64),
        ("packed_weight_bytes", c_uint64), ("implementation", c_char_p),
    ]


InstrumentFunction = CFUNCTYPE(c_int32, POINTER(PassEvent), c_void_p, c_void_p)
BackendCompileFunction = CFUNCTYPE(c_int32, c_void_p, c_uint32, POINTER(Region), c_void_p, c_void_p)
BackendRunFunction = CFUNCTYPE(
    c_int32, c_void_p, POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t, c_void_p, c_void_p, c_void_p)
BackendReleaseFunction = CFUNCTYPE(None, c_void_p, c_void_p)

#: The callbacks by their names in the header.
CALLBACKS: dict[str, Any] = {
    "tenon_progress_function": ProgressFunction,
    "tenon_log_function": LogFunction,
    "tenon_release_function": ReleaseFunction,
    "tenon_check_function": CheckFunction,
    "tenon_attributes_function": AttributesFunction,
    "tenon_rewrite_function": RewriteFunction,
    "tenon_pass_function": PassFunction,
    "tenon_instrument_function": InstrumentFunction,
    "tenon_backend_compile_function": BackendCompileFunction,
    "tenon_backend_run_function": BackendRunFunction,
    "tenon_backend_release_function": BackendReleaseFunction,
}


class Instrument(Structure):
    """tenon_instrument"""

    _fields_ = [
        ("struct_size", c_uint32), ("flags", c_uint32), ("before", InstrumentFunction), ("after", InstrumentFunction),
        ("user_data", c_void_p),
    ]


class HostPass(Structure):
    """tenon_pass"""

    _fields_ = [
        ("struct_size", c_uint32), ("optimization_level", c_uint32), ("name", c_char_p), ("run", PassFunction),
        ("user_data", c_void_p),
    ]


class Backend(Structure):
    """tenon_backend"""

    _fields_ = [
        ("struct_size", c_uint32), ("flags", c_uint32), ("name", c_char_p), ("compile", BackendCompileFunction),
        ("run", BackendRunFunction), ("release", BackendReleaseFunction), ("user_data", c_void_p),
    ]


class PatternStep(Structure):
    """tenon_pattern_step"""

    _fields_ = [
        ("struct_size", c_uint32), ("chain_operand", c_uint32), ("commutative", c_uint32), ("reserved", c_uint32),
        ("op", c_char_p), ("other", c_void_p), ("attributes", c_void_p),
    ]


class PassOptions(Structure):
    """tenon_pass_options"""

    _fields_ = [
        ("struct_size", c_uint32), ("optimization_level", c_uint32),
        ("disabled_passes", POINTER(c_char_p)), ("disabled_pass_count", c_size_t),
        ("required_passes", POINTER(c_char_p)), ("required_pass_count", c_size_t),
        ("disabled_rules", POINTER(c_char_p)), ("disabled_rule_count", c_size_t),
        ("flags", c_uint32), ("reserved", c_uint32), ("instruments", POINTER(Instrument)), ("instrument_count", c_size_t),
        ("backends", POINTER(Backend)), ("backend_count", c_size_t), *LIMITS,
        ("entry_functions", POINTER(c_char_p)), ("entry_function_count", c_size_t), ("arguments", c_void_p),
    ]


class ExecutableOptions(Structure):
    """tenon_executable_options"""

    _fields_ = [
        ("struct_size", c_uint32), ("flags", c_uint32), ("threads", c_uint32), ("concurrent_runs", c_uint32),
        ("tuning_milliseconds", c_uint32), ("cached_shapes", c_uint32), ("cached_bytes", c_uint64),
        ("memory_limit", c_uint64), ("progress", ProgressFunction), ("progress_data", c_void_p),
        ("backends", POINTER(Backend)), ("backend_count", c_size_t), ("numerics", c_uint32), ("spin", c_uint32),
        *LIMITS,
    ]


class Port(Structure):
    """tenon_port"""

    _fields_ = [
        ("struct_size", c_uint32), ("dtype", c_uint32), ("rank", c_int32), ("reserved", c_uint32), ("name", c_char_p),
        ("type", c_char_p), ("shape", POINTER(c_int64)),
    ]


class Memory(Structure):
    """tenon_memory"""

    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("packed_weights", c_uint64), ("constants", c_uint64),
        ("arena", c_uint64), ("scratch", c_uint64), ("in_use", c_uint64), ("peak", c_uint64),
    ]


class ValueInfo(Structure):
    """tenon_value_info"""

    _fields_ = [
        ("struct_size", c_uint32), ("kind", c_uint32), ("dtype", c_uint32), ("rank", c_int32),
        ("shape", POINTER(c_int64)), ("type", c_char_p), ("name", c_char_p), ("callee", c_char_p),
        ("inputs", POINTER(c_uint32)), ("input_count", c_size_t), ("attributes", c_void_p), ("data", c_void_p),
        ("byte_count", c_size_t), ("index", c_size_t), ("text", c_char_p), ("flags", c_uint32), ("reserved", c_uint32),
    ]


class FusionRule(Structure):
    """tenon_fusion_rule"""

    _fields_ = [
        ("struct_size", c_uint32), ("flags", c_uint32), ("name", c_char_p), ("text", c_char_p), ("pattern", c_void_p),
        ("check", CheckFunction), ("attributes", AttributesFunction), ("user_data", c_void_p),
    ]


class RewriteRule(Structure):
    """tenon_rewrite_rule"""

    _fields_ = [
        ("struct_size", c_uint32), ("flags", c_uint32), ("name", c_char_p), ("text", c_char_p), ("pattern", c_void_p),
        ("context", c_void_p), ("check", CheckFunction), ("rewrite", RewriteFunction), ("user_data", c_void_p),
        ("function", c_char_p),
    ]


class RunOptions(Structure):
    """tenon_run_options"""

    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("timeout_nanoseconds", c_uint64), ("cancel", c_void_p)]


class Step(Structure):
    """tenon_step"""

    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("binding", c_char_p), ("region", c_char_p),
        ("composite", c_char_p), ("implementation", c_char_p), ("layouts", c_char_p), ("bytes", c_uint64),
        ("flops", c_uint64), ("nanoseconds", c_uint64), ("note", c_char_p),
    ]


class ModelInfo(Structure):
    """tenon_model_info"""

    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("producer_name", c_char_p), ("producer_version", c_char_p),
        ("domain", c_char_p), ("description", c_char_p), ("graph_name", c_char_p), ("graph_description", c_char_p),
        ("version", c_int64), ("ir_version", c_int64), ("opset_domains", POINTER(c_char_p)),
        ("opset_versions", POINTER(c_int64)), ("opset_count", c_size_t), ("metadata_keys", POINTER(c_char_p)),
        ("metadata_values", POINTER(c_char_p)), ("metadata_count", c_size_t),
    ]


class Machine(Structure):
    """tenon_machine"""

    _fields_ = [
        ("struct_size", c_uint32), ("usable_cpus", c_uint32), ("instruction_sets", c_char_p), ("kernels", c_char_p),
        ("onednn_version", c_char_p), ("onednn_instruction_set", c_char_p),
    ]


class Difference(Structure):
    """tenon_difference"""

    _fields_ = [
        ("struct_size", c_uint32), ("is_within_tolerance", c_uint32), ("name", c_char_p), ("type", c_char_p),
        ("absolute", c_double), ("relative", c_double),
    ]


class QuantizeOptions(Structure):
    """tenon_quantize_options"""

    _fields_ = [
        ("struct_size", c_uint32), ("mode", c_uint32), ("calibration", c_uint32), ("activations", c_uint32),
        ("flags", c_uint32), ("measured_samples", c_uint32), ("threads", c_uint32), ("reserved", c_uint32),
        ("percentile", c_double), ("tolerance", c_double), ("excluded", POINTER(c_char_p)), ("excluded_count", c_size_t),
        ("progress", ProgressFunction), ("progress_data", c_void_p), *LIMITS,
    ]


class QuantizedLayer(Structure):
    """tenon_quantized_layer"""

    _fields_ = [
        ("struct_size", c_uint32), ("is_quantized", c_uint32), ("name", c_char_p), ("op", c_char_p), ("reason", c_char_p),
        ("error", c_double), ("gained_nanoseconds", c_double),
    ]


class QuantizationTotal(Structure):
    """tenon_quantization_total"""

    _fields_ = [
        ("struct_size", c_uint32), ("reserved", c_uint32), ("error", c_double), ("nanoseconds_before", c_double),
        ("nanoseconds_after", c_double),
    ]


#: The structures by their names in the header.
STRUCTURES: dict[str, type[Structure]] = {
    "tenon_tensor": Tensor,
    "tenon_print_options": PrintOptions,
    "tenon_onnx_options": OnnxOptions,
    "tenon_onnx_save_options": OnnxSaveOptions,
    "tenon_pass_options": PassOptions,
    "tenon_executable_options": ExecutableOptions,
    "tenon_port": Port,
    "tenon_model_info": ModelInfo,
    "tenon_machine": Machine,
    "tenon_memory": Memory,
    "tenon_run_options": RunOptions,
    "tenon_value_info": ValueInfo,
    "tenon_fusion_rule": FusionRule,
    "tenon_rewrite_rule": RewriteRule,
    "tenon_step": Step,
    "tenon_difference": Difference,
    "tenon_quantize_options": QuantizeOptions,
    "tenon_quantized_layer": QuantizedLayer,
    "tenon_quantization_total": QuantizationTotal,
    "tenon_pass_event": PassEvent,
    "tenon_instrument": Instrument,
    "tenon_pass": HostPass,
    "tenon_pattern_step": PatternStep,
    "tenon_region": Region,
    "tenon_backend": Backend,
}

COMPILE_REPRODUCIBLE = 1
COMPILE_REFERENCE = 2
NUMERICS = {None: 0, "strict": 1, "fast": 2}
COMPILE_FLUSH_DENORMALS = 4
COMPILE_UNOPTIMIZED = 8
COMPILE_CANCELLABLE = 16
SPINS = {"adaptive": 0, "long": 1, "short": 2}
RUN_PROFILE = 1
QUANTIZE_MODES = {"static": 0, "dynamic": 1}
CALIBRATIONS = {"minmax": 0, "percentile": 1, "entropy": 2, "mse": 3}
QUANTIZE_PER_TENSOR = 1
QUANTIZE_EQUALIZE = 2
QUANTIZE_CORRECT_BIAS = 4
QUANTIZE_NO_TIMES = 8
PASS_VERIFY = 1
RULE_CLOSED = 1
VALUE_LEAVES_BLOCK = 1
DIM_UNKNOWN = -1

# Text that the caller releases comes back as an address, so that it can be.
_text_out = POINTER(c_void_p)
_handle = c_void_p
_handle_out = POINTER(c_void_p)
_value = c_uint32
_value_out = POINTER(c_uint32)

_strings = POINTER(c_char_p)
_values_out = POINTER(POINTER(c_uint32))
_count_out = POINTER(c_size_t)

#: What every function that is used takes and returns.
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "tenon_version": (c_char_p, []),
    "tenon_abi_version": (c_uint32, []),
    "tenon_status_name": (c_char_p, [c_int]),
    "tenon_last_error_message": (c_char_p, []),
    "tenon_last_error_operator": (c_char_p, []),
    "tenon_last_error_node": (c_char_p, []),
    "tenon_last_error_expectation": (c_char_p, []),
    "tenon_last_error_found": (c_char_p, []),
    "tenon_string_release": (None, [c_void_p]),
    "tenon_attributes_create": (c_int, [_handle_out]),
    "tenon_attributes_release": (None, [_handle]),
    "tenon_attributes_set_int": (c_int, [_handle, c_char_p, c_int64]),
    "tenon_attributes_set_float": (c_int, [_handle, c_char_p, c_double]),
    "tenon_attributes_set_bool": (c_int, [_handle, c_char_p, c_int32]),
    "tenon_attributes_set_string": (c_int, [_handle, c_char_p, c_char_p]),
    "tenon_attributes_set_dtype": (c_int, [_handle, c_char_p, c_int]),
    "tenon_attributes_set_ints": (c_int, [_handle, c_char_p, POINTER(c_int64), c_size_t]),
    "tenon_attributes_set_floats": (c_int, [_handle, c_char_p, POINTER(c_double), c_size_t]),
    "tenon_attributes_set_strings": (c_int, [_handle, c_char_p, _strings, c_size_t]),
    "tenon_attributes_count": (c_size_t, [_handle]),
    "tenon_attributes_name": (c_char_p, [_handle, c_size_t]),
    "tenon_attributes_kind": (c_int, [_handle, c_char_p]),
    "tenon_attributes_get_int": (c_int, [_handle, c_char_p, POINTER(c_int64)]),
    "tenon_attributes_get_float": (c_int, [_handle, c_char_p, POINTER(c_double)]),
    "tenon_attributes_get_bool": (c_int, [_handle, c_char_p, POINTER(c_int32)]),
    "tenon_attributes_get_string": (c_int, [_handle, c_char_p, POINTER(c_char_p)]),
    "tenon_attributes_get_dtype": (c_int, [_handle, c_char_p, POINTER(c_int)]),
    "tenon_attributes_get_ints": (c_int, [_handle, c_char_p, POINTER(POINTER(c_int64)), POINTER(c_size_t)]),
    "tenon_attributes_get_floats": (c_int, [_handle, c_char_p, POINTER(POINTER(c_double)), POINTER(c_size_t)]),
    "tenon_attributes_get_strings": (c_int, [_handle, c_char_p, POINTER(_strings), POINTER(c_size_t)]),
    "tenon_operator_count": (c_size_t, []),
    "tenon_operator_name": (c_char_p, [c_size_t]),
    "tenon_operator_describe": (c_int, [c_char_p, _text_out]),
    "tenon_module_create": (c_int, [_handle_out]),
    "tenon_module_copy": (c_int, [_handle, _handle_out]),
    "tenon_module_release": (None, [_handle]),
    "tenon_module_parse": (c_int, [c_char_p, c_size_t, _handle_out]),
    "tenon_module_print": (c_int, [_handle, POINTER(PrintOptions), _text_out]),
    "tenon_module_print_function": (c_int, [_handle, c_char_p, POINTER(PrintOptions), _text_out]),
    "tenon_module_print_tvmscript": (c_int, [_handle, POINTER(PrintOptions), _text_out]),
    "tenon_module_verify": (c_int, [_handle]),
    "tenon_module_equal": (c_int, [_handle, _handle, POINTER(c_int32)]),
    "tenon_module_is_fused": (c_int32, [_handle]),
    "tenon_module_get_info": (c_int, [_handle, POINTER(ModelInfo)]),
    "tenon_module_set_info": (c_int, [_handle, POINTER(ModelInfo)]),
    "tenon_module_metadata": (c_char_p, [_handle, c_char_p]),
    "tenon_get_machine": (c_int, [POINTER(Machine)]),
    "tenon_module_function_count": (c_size_t, [_handle]),
    "tenon_module_function_name": (c_char_p, [_handle, c_size_t]),
    "tenon_module_get_attributes": (c_int, [_handle, c_char_p, _handle_out]),
    "tenon_module_set_attributes": (c_int, [_handle, c_char_p, _handle]),
    "tenon_module_remove_function": (c_int, [_handle, c_char_p]),
    "tenon_module_load_onnx": (c_int, [c_char_p, POINTER(OnnxOptions), _handle_out]),
    "tenon_module_parse_onnx": (c_int, [c_void_p, c_size_t, POINTER(OnnxOptions), _handle_out]),
    "tenon_module_save_onnx": (c_int, [_handle, c_char_p, POINTER(OnnxSaveOptions)]),
    "tenon_module_serialize_onnx": (c_int, [_handle, POINTER(c_void_p), POINTER(c_size_t)]),
    "tenon_bytes_release": (None, [c_void_p]),
    "tenon_builder_create": (c_int, [_handle_out]),
    "tenon_builder_release": (None, [_handle]),
    "tenon_builder_add_typed_parameter": (c_int, [_handle, c_char_p, c_char_p, _value_out]),
    "tenon_builder_add_constant": (c_int, [_handle, POINTER(Tensor), _value_out]),
    "tenon_builder_add_borrowed_constant": (
        c_int, [_handle, POINTER(Tensor), ReleaseFunction, c_void_p, _value_out]),
    "tenon_builder_add_shape": (c_int, [_handle, c_uint32, POINTER(c_int64), _value_out]),
    "tenon_builder_add_literal": (c_int, [_handle, c_char_p, _value_out]),
    "tenon_builder_add_call": (
        c_int, [_handle, c_char_p, POINTER(_value), c_size_t, _handle, c_char_p, _value_out]),
    "tenon_builder_add_function_call": (
        c_int, [_handle, _handle, c_char_p, POINTER(_value), c_size_t, c_char_p, _value_out]),
    "tenon_builder_add_tuple": (c_int, [_handle, POINTER(_value), c_size_t, c_char_p, _value_out]),
    "tenon_builder_add_tuple_get_item": (c_int, [_handle, _value, c_size_t, c_char_p, _value_out]),
    "tenon_builder_get_type": (c_int, [_handle, _value, _text_out]),
    "tenon_module_add_function": (c_int, [_handle, c_char_p, _handle, POINTER(_value), c_size_t, _handle]),
    "tenon_pass_count": (c_size_t, []),
    "tenon_pass_name": (c_char_p, [c_size_t]),
    "tenon_module_apply": (c_int, [_handle, c_char_p, POINTER(PassOptions)]),
    "tenon_module_optimize": (c_int, [_handle, POINTER(PassOptions)]),
    "tenon_module_fuse": (c_int, [_handle, c_char_p, c_uint32, POINTER(PassOptions)]),
    "tenon_module_rewrite": (c_int, [_handle, c_char_p, POINTER(PassOptions)]),
    "tenon_module_explain": (c_int, [_handle, c_char_p, c_uint32, POINTER(PassOptions), _text_out]),
    "tenon_module_get_function": (c_int, [_handle, c_char_p, _handle_out]),
    "tenon_module_set_function": (c_int, [_handle, c_char_p, _handle]),
    "tenon_function_release": (None, [_handle]),
    "tenon_function_name": (c_char_p, [_handle]),
    "tenon_function_get_attributes": (c_int, [_handle, _handle_out]),
    "tenon_function_get_parameters": (c_int, [_handle, _values_out, _count_out]),
    "tenon_function_get_bindings": (c_int, [_handle, _values_out, _count_out]),
    "tenon_function_get_results": (c_int, [_handle, _values_out, _count_out]),
    "tenon_function_get_value": (c_int, [_handle, _value, POINTER(ValueInfo)]),
    "tenon_function_get_users": (c_int, [_handle, _value, _values_out, _count_out]),
    "tenon_function_get_callee": (c_int, [_handle, _value, _handle_out]),
    "tenon_pattern_parse": (c_int, [c_char_p, _handle_out]),
    "tenon_pattern_print": (c_int, [_handle, _text_out]),
    "tenon_pattern_release": (None, [_handle]),
    "tenon_pattern_context_parse": (c_int, [c_char_p, _handle_out]),
    "tenon_pattern_context_print": (c_int, [_handle, _text_out]),
    "tenon_pattern_context_release": (None, [_handle]),
    "tenon_pattern_match": (c_int, [_handle, _handle, _value, _handle_out]),
    "tenon_pattern_match_binding": (c_int, [_handle, _handle, _value, _handle_out]),
    "tenon_module_bind_parameters": (c_int, [_handle, c_char_p, _strings, POINTER(Tensor), c_size_t]),
    "tenon_module_bind_symbols": (c_int, [_handle, c_char_p, _strings, POINTER(c_int64), c_size_t]),
    "tenon_pattern_context_match": (c_int, [_handle, _handle, _handle_out]),
    "tenon_match_release": (None, [_handle]),
    "tenon_module_apply_passes": (c_int, [_handle, POINTER(HostPass), c_size_t, POINTER(PassOptions)]),
    "tenon_reply_set_reason": (c_int, [_handle, c_char_p, c_char_p]),
    "tenon_reply_replace": (c_int, [_handle, _value, _value]),
    "tenon_match_function": (c_void_p, [_handle]),
    "tenon_match_root": (c_uint32, [_handle]),
    "tenon_match_capture_count": (c_size_t, [_handle]),
    "tenon_match_capture_name": (c_char_p, [_handle, c_size_t]),
    "tenon_match_get": (c_int, [_handle, c_char_p, _value_out]),
    "tenon_match_get_operator": (c_int, [_handle, c_char_p, _strings]),
    "tenon_match_get_bindings": (c_int, [_handle, _values_out, _count_out]),
    "tenon_module_fuse_rules": (c_int, [_handle, POINTER(FusionRule), c_size_t, c_uint32, POINTER(PassOptions)]),
    "tenon_module_explain_rules": (
        c_int, [_handle, POINTER(FusionRule), c_size_t, c_uint32, POINTER(PassOptions), _text_out]),
    "tenon_module_rewrite_rules": (c_int, [_handle, POINTER(RewriteRule), c_size_t, POINTER(PassOptions)]),
    "tenon_compile": (c_int, [_handle, POINTER(ExecutableOptions), _handle_out]),
    "tenon_executable_release": (None, [_handle]),
    "tenon_executable_threads": (c_uint32, [_handle]),
    "tenon_executable_input_count": (c_size_t, [_handle]),
    "tenon_executable_output_count": (c_size_t, [_handle]),
    "tenon_executable_get_input": (c_int, [_handle, c_size_t, POINTER(Port)]),
    "tenon_executable_get_output": (c_int, [_handle, c_size_t, POINTER(Port)]),
    "tenon_executable_get_memory": (c_int, [_handle, POINTER(Memory)]),
    "tenon_executable_trim": (c_int, [_handle]),
    "tenon_executable_prepare_ranges": (
        c_int, [_handle, POINTER(c_char_p), POINTER(c_int64), POINTER(c_int64), POINTER(c_int64), c_size_t]),
    "tenon_executable_get_run_bytes": (
        c_int, [_handle, POINTER(POINTER(c_int64)), POINTER(c_uint32), c_size_t, POINTER(c_uint64), POINTER(c_int32)]),
    "tenon_executable_prepare": (c_int, [_handle, POINTER(POINTER(c_int64)), POINTER(c_uint32), c_size_t]),
    "tenon_executable_report": (c_int, [_handle, _text_out]),
    "tenon_executable_get_digest": (c_int, [_handle, POINTER(c_uint64)]),
    "tenon_executable_get_profile": (c_int, [_handle, _handle_out]),
    "tenon_profile_count": (c_size_t, [_handle]),
    "tenon_profile_total": (c_uint64, [_handle]),
    "tenon_profile_get": (c_int, [_handle, c_size_t, POINTER(Step)]),
    "tenon_profile_print": (c_int, [_handle, c_uint32, _text_out]),
    "tenon_profile_release": (None, [_handle]),
    "tenon_module_draw": (c_int, [_handle, _handle, c_uint32, _text_out]),
    "tenon_module_compare": (
        c_int, [_handle, POINTER(ExecutableOptions), POINTER(Tensor), c_size_t, c_double, c_double, _handle_out]),
    "tenon_comparison_count": (c_size_t, [_handle]),
    "tenon_comparison_get": (c_int, [_handle, c_size_t, POINTER(Difference)]),
    "tenon_comparison_release": (None, [_handle]),
    "tenon_module_quantize": (
        c_int, [_handle, POINTER(Tensor), c_size_t, c_size_t, POINTER(QuantizeOptions), _handle_out]),
    "tenon_quantization_count": (c_size_t, [_handle]),
    "tenon_quantization_get": (c_int, [_handle, c_size_t, POINTER(QuantizedLayer)]),
    "tenon_quantization_get_total": (c_int, [_handle, POINTER(QuantizationTotal)]),
    "tenon_quantization_release": (None, [_handle]),
    "tenon_cancel_token_create": (c_int, [_handle_out]),
    "tenon_set_log": (c_int, [LogFunction, c_void_p, c_uint32]),
    "tenon_cancel_token_cancel": (None, [_handle]),
    "tenon_cancel_token_reset": (None, [_handle]),
    "tenon_cancel_token_release": (None, [_handle]),
    "tenon_run": (c_int, [_handle, POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t, POINTER(RunOptions)]),
    "tenon_run_new": (c_int, [_handle, POINTER(Tensor), c_size_t, POINTER(RunOptions), _handle_out]),
    "tenon_results_count": (c_size_t, [_handle]),
    "tenon_results_get": (c_int, [_handle, c_size_t, POINTER(Tensor)]),
    "tenon_results_release": (None, [_handle]),
}


def _candidates() -> list[str]:
    chosen = os.environ.get("TENON_LIBRARY")
    if chosen:
        return [chosen]
    here = os.path.dirname(os.path.abspath(__file__))
    beside = [os.path.join(here, name) for name in ("libtenon.so.0", "libtenon.so")]
    return [path for path in beside if os.path.exists(path)] + ["libtenon.so.0", "libtenon.so"]


def _by_pkg_config() -> Iterator[str]:
    """An installed library outside of the loader's folders; asked for last, because it starts a process."""
    if os.environ.get("TENON_LIBRARY"):
        return
    try:
        asked = subprocess.run(
            ["pkg-config", "--variable=libdir", "tenon"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return
    if asked.returncode == 0 and asked.stdout.strip():
        yield os.path.join(asked.stdout.strip(), "libtenon.so.0")


@contextlib.contextmanager
def _short_spinning() -> Iterator[None]:
    """Lets threads of OpenMP that wait sleep after some ten microseconds instead of some milliseconds.

    libgomp reads this once, while it is loaded. On a machine with other work to do, long spinning takes the processor from the
    very thread that is waited for; on a quiet one the short kind costs some hundredths. Who sets either variable decides for himself.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _load() -> ctypes.CDLL:
    tried = []
    for path in itertools.chain(_candidates(), _by_pkg_config()):
        try:
            with _short_spinning():
                library = ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"{path}: {error}")
            continue
        try:
            library.tenon_abi_version.restype = c_uint32
            library.tenon_abi_version.argtypes = []
            found = library.tenon_abi_version()
        except AttributeError:
            tried.append(f"{path}: not a Tenon library (no tenon_abi_version)")
            continue
        if found != ABI_VERSION:
            tried.append(f"{path}: has ABI version {found}, this package needs {ABI_VERSION}")
            continue
        missing = []
        for name, (restype, argtypes) in FUNCTIONS.items():
            function = getattr(library, name, None)
            if function is None:
                missing.append(name)
                continue
            function.restype = restype
            function.argtypes = argtypes
        if missing:
            tried.append(f"{path}: lacks {', '.join(missing)}")
            continue
        return library
    raise ImportError("\n  ".join([f"libtenon could not be loaded. {_remedy(tried)} What was tried:", *tried]))


def _remedy(tried: list[str]) -> str:
    """What to do about it."""
    lacking = re.search(r"(lib(?:dnnl|gomp)\.so[.\d]*): cannot open shared object", "\n".join(tried))
    if lacking:
        package = "libdnnl2 (Debian, Ubuntu: apt-get install libdnnl2)" if "dnnl" in lacking[1] else (
            "libgomp1 (Debian, Ubuntu: apt-get install libgomp1)")
        return f"It was found, but it needs {lacking[1]}: install {package}."
    if os.environ.get("TENON_LIBRARY"):
        return "TENON_LIBRARY names a file that cannot be used: correct it, or unset it to have the library searched for."
    return (
        "In a checkout of Tenon `make wheel` writes a wheel that carries it to build/dist, and `make install` installs it; or build it "
        "(swift build -c release --product tenon) and set TENON_LIBRARY to .build/release/libtenon.so.")


lib = _load()
