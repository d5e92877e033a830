"""Text from a decoder with a cache: the most probable token each time, as numbers.

    python generate.py MODEL.onnx STEPS TOKEN...

The model takes token numbers and positions, [1, tokens] each, and the keys and values of what came before, [1, heads, past, size];
it gives logits and the keys and values with the new ones behind, which the next step takes as they are.
"""

import sys

import numpy as np

import tenon


def generate(path, prompt, steps):
    """Yields one token after another."""
    run = tenon.compile(tenon.load(path).optimize())
    # Nothing came before: the size that is not known is 0.
    caches = [np.zeros([size or 0 for size in port.shape], np.float32) for port in run.inputs[2:]]
    given, first = list(prompt), 0
    for _ in range(steps):
        positions = np.arange(first, first + len(given), dtype=np.int64)
        logits, *caches = run(np.array([given], np.int64), positions[None], *caches)
        first += len(given)
        given = [int(np.argmax(logits[0, -1]))]
        yield given[0]


if __name__ == "__main__":
    model, steps, *prompt = sys.argv[1:]
    prompt = [int(token) for token in prompt]
    print(*prompt, *generate(model, prompt, int(steps)))
