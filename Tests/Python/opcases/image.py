"""Resizing, by ONNX's reference."""

import itertools

import numpy as np

from .base import Shape, bf16, case, f16, f32, f64, onnx, rand, wide

METHODS = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}
MODES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


def reference(x, size, method, mode, scales=None, roi=None, rounding="round_prefer_floor", alpha=-0.75,
              exclude=False, antialias=False, outside=0.0):
    spatial = x.ndim - 2
    region = None
    if roi is not None:
        region = np.array([0, 0, *roi[:spatial], 1, 1, *roi[spatial:]], np.float32)
    attrs = {"mode": METHODS[method], "coordinate_transformation_mode": mode, "nearest_mode": rounding,
             "cubic_coeff_a": alpha, "exclude_outside": int(exclude), "antialias": int(antialias),
             "extrapolation_value": outside}
    given = np.array([1, 1, *scales], np.float32) if scales is not None else None
    sizes = np.array([*x.shape[:2], *size], np.int64) if scales is None else None
    return onnx("Resize", [wide(x), region, given, sizes], attrs)


def cases():
    found = []

    def add(name, x, size, method, mode, **options):
        y = np.asarray(reference(x, size, method, mode, **options)).astype(x.dtype)
        assert y.shape[2:] == tuple(size), (name, y.shape)
        attrs = {"method": method, "coordinate_transformation_mode": mode}
        names = {"scales": "scales", "roi": "roi", "rounding": "rounding_method", "alpha": "cubic_alpha",
                 "exclude": "cubic_exclude", "antialias": "antialias", "outside": "extrapolation_value"}
        for key, value in options.items():
            attrs[names[key]] = [float(v) for v in value] if key in ("scales", "roi") else value
        found.append(case(f"resize-{name}", f"image.resize{x.ndim - 2}d", [x, Shape(list(size))], y, attrs, scale=2))

    x = rand("resize", (2, 2, 4, 5))
    for method, mode, size in itertools.product(METHODS, MODES, [(8, 10), (3, 2), (4, 5), (1, 7)]):
        add(f"{method}-{mode}-{size}".replace(" ", ""), x, size, method, mode)
    for rounding, mode in itertools.product(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"], MODES):
        add(f"{rounding}-{mode}", x, (6, 9), "nearest_neighbor", mode, rounding=rounding)
    for method, mode in itertools.product(METHODS, ["half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners"]):
        add(f"scales-{method}-{mode}", x, (9, 3), method, mode, scales=(2.3, 0.75))
    for method, size in itertools.product(["linear", "cubic"], [(2, 2), (3, 4), (7, 3)]):
        add(f"antialias-{method}-{size}".replace(" ", ""), x, size, method, "half_pixel", antialias=True)
    for exclude, alpha in itertools.product([False, True], [-0.75, -0.5]):
        add(f"cubic-{exclude}-{alpha}", x, (7, 8), "cubic", "half_pixel", exclude=exclude, alpha=alpha)
    for method in METHODS:
        add(f"crop-{method}", x, (3, 4), method, "tf_crop_and_resize", roi=(0.25, -0.3, 0.9, 1.2), outside=7.5)
    add("line", rand("line", (1, 3, 6)), (9,), "linear", "half_pixel")
    add("line-cubic", rand("line", (1, 3, 6)), (4,), "cubic", "align_corners")
    volume = rand("volume", (1, 2, 2, 3, 4))
    add("volume", volume, (3, 4, 6), "linear", "half_pixel")
    add("volume-nearest", volume, (4, 6, 8), "nearest_neighbor", "asymmetric", scales=(2, 2, 2), rounding="floor")
    for dtype in (f64, f16, bf16):
        add(f"linear-{dtype.name}", rand("types", (1, 1, 3, 4), dtype), (5, 6), "linear", "half_pixel")
    for dtype in (np.uint8, np.int32):
        values = rand("types", (1, 1, 3, 4), dtype, 0, 100)
        y = reference(values.astype(np.float64), (6, 8), "nearest_neighbor", "asymmetric", rounding="floor")
        found.append(case(
            f"resize-nearest-{np.dtype(dtype).name}", "image.resize2d", [values, Shape([6, 8])],
            np.asarray(y).astype(dtype),
            {"method": "nearest_neighbor", "coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}))
    add("large", rand("large", (2, 3, 12, 17)), (24, 34), "nearest_neighbor", "asymmetric", rounding="floor")
    return found
