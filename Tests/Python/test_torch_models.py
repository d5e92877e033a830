"""Outputs of torchvision's and timm's models against PyTorch's; `make sweep-torch` takes all of them."""

import pytest

import heavy

heavy.require("torch", "torchvision", "timm")

import torch_models  # noqa: E402


@pytest.mark.parametrize("name", torch_models.REPRESENTATIVE)
def test_outputs_agree(name):
    found = torch_models.compare(name)
    assert found.error <= 1e-4
    assert found.regions >= 1 and found.offloaded > 0
