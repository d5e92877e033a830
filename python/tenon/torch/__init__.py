"""PyTorch's programs and modules.

    import tenon.torch

    module = tenon.torch.from_exported_program(torch.export.export(model, (x,)))     # the graph
    run = tenon.compile(model, (x,))                                                # tensors in, tensors out
    fast = torch.compile(model, backend="tenon")                                    # what it can, the rest in PyTorch
"""

from ._backend import backend, register
from ._compiled import CompiledModule, compile
from ._program import from_exported_program

__all__ = ["CompiledModule", "backend", "compile", "from_exported_program"]

register()
del register
