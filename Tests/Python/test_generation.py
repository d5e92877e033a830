"""Text generated with a cache: step by step as all at once, as ONNX Runtime does, without growing memory."""

import pathlib

import numpy as np
import onnxruntime
import pytest

import tenon
import tenon.onnxruntime

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "Fixtures" / "decoder"
MODEL = FOLDER / "decoder.onnx"
COUNT, *TOKENS = map(int, (FOLDER / "tokens.txt").read_text().split())


def empty(session):
    return {i.name: np.zeros((1, 4, 0, 8), np.float32) for i in session.get_inputs()[2:]}


def step(session, ids, first, caches):
    feed = {"ids": np.array([ids], np.int64), "positions": np.arange(first, first + len(ids), dtype=np.int64)[None]}
    logits, *present = session.run(None, feed | caches)
    return logits, dict(zip(caches, present))


@pytest.fixture(scope="module")
def session():
    return tenon.onnxruntime.InferenceSession(str(MODEL))


def test_tokens_are_those_of_onnx_runtime(session):
    tokens, given, caches = TOKENS[:COUNT], TOKENS[:COUNT], empty(session)
    first = 0
    while len(tokens) < len(TOKENS):
        logits, caches = step(session, given, first, caches)
        first = len(tokens)
        given = [int(logits[0, -1].argmax())]
        tokens = tokens + given
    assert tokens == TOKENS


def test_step_by_step_equals_all_at_once(session):
    whole, final = step(session, TOKENS, 0, empty(session))
    caches, rows = empty(session), []
    for first, width in [(0, 7), (7, 1), (8, 1), (9, 3), (12, 1), (13, 20), (33, len(TOKENS) - 33)]:
        logits, caches = step(session, TOKENS[first : first + width], first, caches)
        rows.append(logits[0])
    np.testing.assert_allclose(np.concatenate(rows), whole[0], rtol=1e-4, atol=1e-4)
    for name in final:
        np.testing.assert_allclose(caches[name], final[name], rtol=1e-5, atol=1e-5)
    peer = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(whole, step(peer, TOKENS, 0, empty(peer))[0], rtol=1e-4, atol=1e-4)


def test_positions_beyond_the_table_are_refused(session):
    feed = {"ids": np.array([[1]], np.int64), "positions": np.array([[64]], np.int64)}
    with pytest.raises(Exception, match="take.*64|64.*take|out of"):
        session.run(None, feed | empty(session))
    # The session is as good as before.
    step(session, [1], 0, empty(session))


def test_caches_of_another_size_are_refused(session):
    caches = empty(session)
    caches[next(iter(caches))] = np.zeros((1, 5, 3, 8), np.float32)
    with pytest.raises(Exception, match="past_key_0"):
        step(session, [1], 0, caches)


def test_the_example_generates_the_same():
    import subprocess
    import sys

    example = pathlib.Path(__file__).resolve().parents[2] / "examples-python" / "generate.py"
    steps, prompt = str(len(TOKENS) - COUNT), map(str, TOKENS[:COUNT])
    found = subprocess.run([sys.executable, str(example), str(MODEL), steps, *prompt], capture_output=True, text=True, check=True)
    assert list(map(int, found.stdout.split())) == TOKENS
