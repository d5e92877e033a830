"""Fusion rules, rewrite rules and explanations in text."""

import json

import pytest

import tenon

PAIR = """
fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) {
  dataflow { %a = nn.conv2d(%data, %w) %b = nn.relu(%a) %c = nn.gelu(%b) output %c }
  return %c
}
"""
RULE = "dnnl.conv2d_relu = nn.relu(nn.conv2d(*, *));"


def test_a_rule_makes_a_composite():
    module = tenon.Module.parse(PAIR)
    before = str(module)
    fused = module.fuse(RULE)
    assert str(module) == before
    composite = fused.functions["fused_relax_nn_conv2d_relax_nn_relu"]
    assert composite.attributes["Composite"] == "dnnl.conv2d_relu"
    assert "@fused_relax_nn_conv2d_relax_nn_relu(" in str(fused.functions["main"])


def test_a_rule_makes_a_region():
    fused = tenon.Module.parse(PAIR).fuse(RULE, annotate_codegen=True)
    region = fused.functions["fused_relax_nn_conv2d_relax_nn_relu_dnnl"]
    assert region.attributes["Codegen"] == "dnnl"


def test_a_rule_that_is_switched_off():
    module = tenon.Module.parse(PAIR)
    assert str(module.fuse(RULE, disabled_rules=["dnnl.conv2d_relu"])) == str(module)


def test_a_rule_that_is_no_rule():
    with pytest.raises(tenon.ParseError, match="line 1, column 8"):
        tenon.Module.parse(PAIR).fuse("x.y = (")


def test_a_rewrite():
    rewritten = tenon.Module.parse(PAIR).rewrite(
        "fn @before(%x: object) { %y = nn.gelu(%x) return %y } fn @after(%x: object) { %y = nn.silu(%x) return %y }")
    assert "nn.silu(" in str(rewritten) and "nn.gelu(" not in str(rewritten)


def test_an_explanation():
    module = tenon.Module.parse(PAIR)
    rules = "x.long = nn.gelu(nn.relu(add(*, *)));" + RULE
    assert module.explain(rules) == (
        "@main\n"
        "  fused   %b by dnnl.conv2d_relu: %a nn.conv2d, %b nn.relu\n"
        "  missed  %c by x.long at %a: operator: found nn.conv2d, expected add\n"
    )
    data = json.loads(module.explain(rules, json=True))
    assert [entry["rule"] for entry in data["fused"]] == ["dnnl.conv2d_relu"]
    assert data["near_misses"][0]["kind"] == "operator"
    assert "fused" in module.explain()
