#!/usr/bin/env python3
"""Trains the digit classifier of this folder and writes the files beside this script.

    python3 train_digits.py [--out FOLDER] [--epochs N]

Needs numpy, onnx and scikit-learn (which only supplies the images). Training is plain NumPy on one
thread: no deep-learning framework takes part. Forward and backward of each layer stand below.

Files written:
    digits.onnx                  the network, fixed batch of one image
    heldout-images-idx3-ubyte    the images that training never saw, IDX format, 0..255
    heldout-labels-idx1-ubyte    their classes, IDX format
"""

import argparse
import pathlib
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 20261122
HELD_OUT = 360  # of 1797
CHANNELS = (16, 32)
BATCH = 64


def load_split():
    """Pixels 0..16 become bytes 0..255; a fixed permutation decides who is held out."""
    digits = load_digits()
    images = np.rint(digits.images * (255.0 / 16.0)).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    order = np.random.default_rng(SEED).permutation(len(labels))
    held, train = order[:HELD_OUT], order[HELD_OUT:]
    return images[train], labels[train], images[held], labels[held]


def as_input(images):
    return (images.astype(np.float32) / 255.0)[:, None, :, :]


def shifted(images, rng):
    """Each image moved by -1, 0 or 1 pixel each way; what moves in is blank."""
    out = np.zeros_like(images)
    for i, (dy, dx) in enumerate(rng.integers(-1, 2, size=(len(images), 2))):
        src = images[i, max(0, -dy):8 - max(0, dy), max(0, -dx):8 - max(0, dx)]
        out[i, max(0, dy):8 - max(0, -dy), max(0, dx):8 - max(0, -dx)] = src
    return out


class Conv3x3:
    """Convolution 3x3, stride 1, padding 1, with bias; NCHW."""

    def __init__(self, rng, inputs, outputs):
        scale = np.sqrt(2.0 / (inputs * 9))
        self.params = [rng.normal(0, scale, (outputs, inputs, 3, 3)).astype(np.float32),
                       np.zeros(outputs, np.float32)]

    def forward(self, x):
        n, c, h, w = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        self.columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * 9)
        self.shape = x.shape
        weight, bias = self.params
        y = self.columns @ weight.reshape(len(bias), -1).T + bias
        return y.reshape(n, h, w, len(bias)).transpose(0, 3, 1, 2)

    def backward(self, dy):
        n, c, h, w = self.shape
        weight, bias = self.params
        rows = dy.transpose(0, 2, 3, 1).reshape(n * h * w, len(bias))
        self.grads = [(rows.T @ self.columns).reshape(weight.shape), rows.sum(0)]
        columns = (rows @ weight.reshape(len(bias), -1)).reshape(n, h, w, c, 3, 3)
        dx = np.zeros((n, c, h + 2, w + 2), np.float32)
        for ky in range(3):
            for kx in range(3):
                dx[:, :, ky:ky + h, kx:kx + w] += columns[:, :, :, :, ky, kx].transpose(0, 3, 1, 2)
        return dx[:, :, 1:-1, 1:-1]


class Relu:
    params = ()

    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class MaxPool2:
    """Maximum of each 2x2 block; a tie shares the gradient."""

    params = ()

    def forward(self, x):
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
        y = blocks.max(axis=(3, 5), keepdims=True)
        chosen = (blocks == y).astype(np.float32)
        self.share = chosen / chosen.sum(axis=(3, 5), keepdims=True)
        return y[:, :, :, 0, :, 0]

    def backward(self, dy):
        n, c, h, w = dy.shape
        return (self.share * dy[:, :, :, None, :, None]).reshape(n, c, h * 2, w * 2)


class Dense:
    """Flatten, then weight [classes, features] and bias."""

    def __init__(self, rng, features, classes):
        self.params = [rng.normal(0, np.sqrt(1.0 / features), (classes, features)).astype(np.float32),
                       np.zeros(classes, np.float32)]

    def forward(self, x):
        self.shape = x.shape
        self.flat = x.reshape(len(x), -1)
        return self.flat @ self.params[0].T + self.params[1]

    def backward(self, dy):
        self.grads = [dy.T @ self.flat, dy.sum(0)]
        return (dy @ self.params[0]).reshape(self.shape)


class Adam:
    def __init__(self, layers, decay=1e-4):
        self.slots = [(layer, i) for layer in layers for i in range(len(layer.params))]
        self.first = [np.zeros_like(layer.params[i]) for layer, i in self.slots]
        self.second = [np.zeros_like(m) for m in self.first]
        self.decay, self.steps = decay, 0

    def step(self, rate):
        self.steps += 1
        for k, (layer, i) in enumerate(self.slots):
            grad = layer.grads[i] + self.decay * layer.params[i]
            self.first[k] = 0.9 * self.first[k] + 0.1 * grad
            self.second[k] = 0.999 * self.second[k] + 0.001 * grad * grad
            mean = self.first[k] / (1 - 0.9 ** self.steps)
            spread = np.sqrt(self.second[k] / (1 - 0.999 ** self.steps)) + 1e-8
            layer.params[i] = (layer.params[i] - rate * mean / spread).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def run(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def train(images, labels, epochs):
    rng = np.random.default_rng(SEED + 1)
    layers = [Conv3x3(rng, 1, CHANNELS[0]), Relu(), MaxPool2(),
              Conv3x3(rng, CHANNELS[0], CHANNELS[1]), Relu(), Dense(rng, CHANNELS[1] * 4 * 4, 10)]
    optimizer = Adam(layers)
    one_hot = np.eye(10, dtype=np.float32)[labels]
    for epoch in range(epochs):
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        order = rng.permutation(len(labels))
        loss = 0.0
        for start in range(0, len(order), BATCH):
            pick = order[start:start + BATCH]
            probabilities = softmax(run(layers, as_input(shifted(images[pick], rng))))
            loss -= np.log(np.maximum(probabilities[one_hot[pick] == 1], 1e-12)).sum()
            grad = ((probabilities - one_hot[pick]) / len(pick)).astype(np.float32)
            for layer in reversed(layers):
                grad = layer.backward(grad)
            optimizer.step(rate)
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:3d}  loss {loss / len(order):.4f}")
    return layers


def to_onnx(layers):
    conv1, conv2, dense = layers[0], layers[3], layers[5]
    tensors = [("conv1.weight", conv1.params[0]), ("conv1.bias", conv1.params[1]),
               ("conv2.weight", conv2.params[0]), ("conv2.bias", conv2.params[1]),
               ("classifier.weight", dense.params[0]), ("classifier.bias", dense.params[1])]
    conv = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["conv1"], name="conv1", **conv),
        helper.make_node("Relu", ["conv1"], ["relu1"], name="relu1"),
        helper.make_node("MaxPool", ["relu1"], ["pool1"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pool1", "conv2.weight", "conv2.bias"], ["conv2"], name="conv2", **conv),
        helper.make_node("Relu", ["conv2"], ["relu2"], name="relu2"),
        helper.make_node("Flatten", ["relu2"], ["features"], name="flatten", axis=1),
        helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"],
                         name="classifier", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in tensors])
    model = helper.make_model(graph, producer_name="train_digits.py",
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_idx(path, array):
    """IDX: two zero bytes, 0x08 for unsigned bytes, the rank, each dimension as big-endian u32, the data."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + np.ascontiguousarray(array, np.uint8).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()

    train_images, train_labels, held_images, held_labels = load_split()
    layers = train(train_images, train_labels, options.epochs)
    for name, images, labels in [("training", train_images, train_labels), ("held-out", held_images, held_labels)]:
        found = run(layers, as_input(images)).argmax(axis=1)
        print(f"{name}: {(found == labels).sum()} of {len(labels)} right, accuracy {(found == labels).mean():.4f}")

    options.out.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(layers), options.out / "digits.onnx")
    write_idx(options.out / "heldout-images-idx3-ubyte", held_images)
    write_idx(options.out / "heldout-labels-idx1-ubyte", held_labels)


if __name__ == "__main__":
    main()
