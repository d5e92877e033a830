"""Resizing and sampling of images."""

from __future__ import annotations

from typing import Any, Sequence

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import sizes_text
from . import converter


def _resize(g: Graph, x: Tensor, scales: Sequence[Any] | None, **attributes: Any) -> Any:
    """Resizes to the shape that PyTorch has worked out. Given scales, not the sizes, say where samples lie."""
    rank = x.rank - 2
    if scales is not None and all(scale is not None for scale in scales):
        if attributes["coordinate_transformation_mode"] != "align_corners":
            attributes["scales"] = [float(scale) for scale in scales]
    elif scales is not None and any(scale is not None for scale in scales):
        raise UnsupportedError("resizing with a scale for some axes only")
    return g.call(f"image.resize{rank}d", x, sizes_text(g.out.shape[2:]), **attributes)


def _scales(
    scale_factors: Any = None, scales: Any = None, scales_d: Any = None, scales_h: Any = None, scales_w: Any = None,
) -> list[Any] | None:
    if scale_factors is not None:
        return list(scale_factors)
    given = [scale for scale in (scales_d, scales_h, scales_w) if scale is not None]
    return given or ([scales] if scales is not None else None)


_RANKS = {"1d": "linear", "2d": "bilinear", "3d": "trilinear"}


@converter(*[f"{prefix}{rank}{overload}" for prefix in ("upsample_nearest", "_upsample_nearest_exact") for rank in _RANKS
             for overload in (".vec", ".default")])
def nearest(
    g: Graph, self: Any = None, input: Any = None, output_size: Any = None, scale_factors: Any = None, scales: Any = None, scales_d: Any = None, scales_h: Any = None,
    scales_w: Any = None,
) -> Any:
    exact = "exact" in g.target
    return _resize(
        g, self if self is not None else input, _scales(scale_factors, scales, scales_d, scales_h, scales_w),
        method="nearest_neighbor", coordinate_transformation_mode="half_pixel" if exact else "asymmetric",
        rounding_method="round_prefer_ceil" if exact else "floor")


@converter(*[f"{name}{overload}" for name in (
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa") for overload in (".vec", ".default")])
def interpolated(
    g: Graph, align_corners: Any, self: Any = None, input: Any = None, output_size: Any = None, scale_factors: Any = None, scales: Any = None, scales_d: Any = None,
    scales_h: Any = None, scales_w: Any = None,
) -> Any:
    cubic, antialias = "bicubic" in g.target, g.target.split(".")[1].endswith("_aa")
    return _resize(
        g, self if self is not None else input, _scales(scale_factors, scales, scales_d, scales_h, scales_w),
        # Where it prefilters, PyTorch leaves out what lies outside of the image, as Pillow does.
        method="cubic" if cubic else "linear", antialias=antialias, cubic_exclude=antialias,
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
        # Pillow's cubic, there.
        **({"cubic_alpha": -0.5 if antialias else -0.75} if cubic else {}))


@converter("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(g: Graph, input: Any, grid: Any, interpolation_mode: Any, padding_mode: Any, align_corners: Any) -> Any:
    return g.call(
        "image.grid_sample", input, grid, method=("bilinear", "nearest", "bicubic")[interpolation_mode],
        padding_mode=("zeros", "border", "reflection")[padding_mode], align_corners=bool(align_corners),
        **({"keep_positions": True} if interpolation_mode == 2 and padding_mode == 1 else {}))


