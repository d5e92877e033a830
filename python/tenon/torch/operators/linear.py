"""Products of matrices."""

from __future__ import annotations

from typing import Any

from .._graph import Graph, Tensor
from .._sizes import sizes_text
from ...errors import UnsupportedError
from . import converter


@converter("linear")
def linear(g: Graph, input: Any, weight: Any, bias: Any) -> Any:
    if weight.rank != 2:
        raise UnsupportedError(f"a linear layer whose weight has {weight.rank} dimensions, expected 2")
    product = g.call("nn.dense", input, weight)
    return product if bias is None else g.call("add", product, bias)


@converter("mm", "bmm", "matmul", "mv", "dot", "linalg_matmul")
def matmul(
    g: Graph, self: Any = None, mat2: Any = None, other: Any = None, vec: Any = None, tensor: Any = None, input: Any = None,
) -> Any:
    left = self if self is not None else input
    right = next(operand for operand in (mat2, other, vec, tensor) if operand is not None)
    return g.matmul(left, right)


def _with_addend(g: Graph, addend: Tensor, product: Any, alpha: Any, beta: Any) -> Any:
    dtype = g.out.dtype
    product = g.scaled(product, alpha, dtype)
    if beta == 0:
        return product
    return g.call("add", product, g.scaled(addend.value, beta, dtype))


@converter("addmm")
def addmm(g: Graph, self: Any, mat1: Any, mat2: Any, beta: Any, alpha: Any) -> Any:
    return _with_addend(g, self, g.matmul(mat1, mat2), alpha, beta)


@converter("baddbmm")
def baddbmm(g: Graph, self: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    return _with_addend(g, self, g.matmul(batch1, batch2), alpha, beta)


@converter("addmv")
def addmv(g: Graph, self: Any, mat: Any, vec: Any, beta: Any, alpha: Any) -> Any:
    return _with_addend(g, self, g.matmul(mat, vec), alpha, beta)


@converter("einsum")
def einsum(g: Graph, equation: Any, tensors: Any, path: Any) -> Any:
    if path is not None or "." in equation or len(tensors) > 2:
        raise UnsupportedError(f"einsum '{equation}' of {len(tensors)} tensors; expected one or two, without '...' and path")
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "->" not in equation:
        letters = inputs.replace(",", "")
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    if any(len(set(term)) != len(term) for term in terms) or len(set(output)) != len(output):
        raise UnsupportedError(f"einsum '{equation}' names an index twice in one tensor")
    sizes = {letter: size for term, tensor in zip(terms, tensors) for letter, size in zip(term, tensor.shape)}
    if len(terms) == 1:
        return _reduced(g, tensors[0].value, terms[0], output)
    first, second = terms
    a = _reduced(g, tensors[0].value, first, kept := "".join(c for c in first if c in second + output), order=False)
    first = kept
    b = _reduced(g, tensors[1].value, second, kept := "".join(c for c in second if c in first + output), order=False)
    second = kept
    batch = [letter for letter in first if letter in second and letter in output]
    inner = [letter for letter in first if letter in second and letter not in output]
    rows = [letter for letter in first if letter not in second]
    columns = [letter for letter in second if letter not in first]

    def matrix(value: Any, term: Any, groups: Any) -> Any:
        value = g.permute(value, [term.index(letter) for group in groups for letter in group])
        lead, *rest = groups
        shape = [sizes[letter] for letter in lead] + [_product(sizes[letter] for letter in group) for group in rest]
        return g.reshape(value, shape)

    product = g.call("matmul", matrix(a, first, (batch, rows, inner)), matrix(b, second, (batch, inner, columns)))
    order = batch + rows + columns
    product = g.call("reshape", product, sizes_text([sizes[letter] for letter in order]))
    return g.permute(product, [order.index(letter) for letter in output])


def _product(sizes: Any) -> Any:
    total = 1
    for size in sizes:
        total = total * size
    return total


def _reduced(g: Graph, value: Any, term: str, output: str, order: bool = True) -> Any:
    """The sum over what the output does not name, in its order when asked for."""
    gone = [axis for axis, letter in enumerate(term) if letter not in output]
    if gone:
        value = g.call("sum", value, axis=gone)
    kept = [letter for letter in term if letter in output]
    return g.permute(value, [kept.index(letter) for letter in output]) if order else value
