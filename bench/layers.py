# SPDX-License-Identifier: Apache-2.0
"""The measuring half of bench/layers: run it by that script.

Rounds alternate between the two sides; the least time of any run counts, as what other work on the
machine costs is not theirs."""

import argparse
import os
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from peers import SINTER, cpu_name, output_of
import json

ROOT = "build/layers"
RANDOM = np.random.default_rng(0)


def weights(name, *dims):
    scale = 1 / np.sqrt(max(1, np.prod(dims[1:])))
    return numpy_helper.from_array((RANDOM.standard_normal(dims) * scale).astype(np.float32), name)


def model(nodes, initializers, dims, name):
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=8)


def conv(ci, co, kernel, stride, size, groups=1):
    """Convolution, bias, relu; `size` is the height and width of the input."""
    node = helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[kernel] * 2, strides=[stride] * 2,
                            pads=[kernel // 2] * 4, group=groups)
    parameters = [weights("w", co, ci // groups, kernel, kernel), weights("b", co)]
    return [node, helper.make_node("Relu", ["c"], ["y"])], parameters, [1, ci, size, size]


def pool(op, channels, kernel, stride, size):
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
    return [node], [], [1, channels, size, size]


def matmul(m, k, n):
    return [helper.make_node("MatMul", ["x", "w"], ["y"])], [weights("w", k, n)], [m, k]


def matmul_nbits(m, k, n, block=32):
    """Weights of 4 bits in blocks, each with a scale."""
    packed = numpy_helper.from_array(RANDOM.integers(0, 256, (n, k // block, block // 2), dtype=np.uint8), "w")
    scales = numpy_helper.from_array((RANDOM.random((n * k // block,)) * 0.01).astype(np.float32), "s")
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=k, N=n, bits=4, block_size=block)
    return [node], [packed, scales], [m, k]


def matmul_integer(m, k, n):
    """What dynamic quantisation makes of a matmul."""
    scale = numpy_helper.from_array(np.float32(0.01), "s")
    zero = numpy_helper.from_array(np.int8(0), "z")
    w = numpy_helper.from_array(RANDOM.integers(-127, 128, (k, n), dtype=np.int8), "w")
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
             helper.make_node("MatMulInteger", ["q", "w", "qz", "z"], ["i"]), helper.make_node("Cast", ["i"], ["f"], to=1),
             helper.make_node("Mul", ["qs", "s"], ["both"]), helper.make_node("Mul", ["f", "both"], ["y"])]
    return nodes, [w, scale, zero], [m, k]


def attention(heads, length, depth):
    """softmax(x x^T / sqrt(d)) x: all three operands are one tensor."""
    scale = numpy_helper.from_array(np.float32(depth ** -0.5), "s")
    nodes = [helper.make_node("Transpose", ["x"], ["k"], perm=[0, 1, 3, 2]), helper.make_node("MatMul", ["x", "k"], ["a"]),
             helper.make_node("Mul", ["a", "s"], ["b"]), helper.make_node("Softmax", ["b"], ["p"], axis=-1),
             helper.make_node("MatMul", ["p", "x"], ["y"])]
    return nodes, [scale], [1, heads, length, depth]


def recurrent(op, steps, batch, features, hidden, directions=1):
    """LSTM or GRU over a sequence, from zero states; y are all hidden states."""
    gates = {"LSTM": 4, "GRU": 3}[op]
    parameters = [weights("w", directions, gates * hidden, features), weights("r", directions, gates * hidden, hidden),
                  weights("b", directions, 2 * gates * hidden)]
    more = {"linear_before_reset": 1} if op == "GRU" else {}
    node = helper.make_node(op, ["x", "w", "r", "b"], ["y"], hidden_size=hidden,
                            direction="bidirectional" if directions == 2 else "forward", **more)
    return [node], parameters, [steps, batch, features]


def layer_norm(rows, features):
    return [helper.make_node("LayerNormalization", ["x", "g", "b"], ["y"])], [weights("g", features), weights("b", features)], [rows, features]


def softmax(rows, features):
    return [helper.make_node("Softmax", ["x"], ["y"])], [], [rows, features]


LAYERS = {
    "conv 3x3 64 56x56": conv(64, 64, 3, 1, 56),
    "conv 3x3 128 28x28": conv(128, 128, 3, 1, 28),
    "conv 3x3 256 14x14": conv(256, 256, 3, 1, 14),
    "conv 3x3 512 7x7": conv(512, 512, 3, 1, 7),
    "conv 3x3/2 256 28x28": conv(256, 256, 3, 2, 28),
    "conv 1x1 64-256 56x56": conv(64, 256, 1, 1, 56),
    "conv 1x1 1024-256 14x14": conv(1024, 256, 1, 1, 14),
    "conv 1x1/2 512-1024 28x28": conv(512, 1024, 1, 2, 28),
    "conv 7x7/2 3-64 224x224": conv(3, 64, 7, 2, 224),
    "depth-wise 3x3 144 56x56": conv(144, 144, 3, 1, 56, 144),
    "depth-wise 3x3/2 144 56x56": conv(144, 144, 3, 2, 56, 144),
    "depth-wise 5x5 480 14x14": conv(480, 480, 5, 1, 14, 480),
    "max pool 3x3/2 64 112x112": pool("MaxPool", 64, 3, 2, 112),
    "average pool 3x3 64 56x56": pool("AveragePool", 64, 3, 1, 56),
    "attention 12 x 128 x 64": attention(12, 128, 64),
    "attention 12 x 512 x 64": attention(12, 512, 64),
    "matmul 256x768x768": matmul(256, 768, 768),
    "matmul 1x4096x4096": matmul(1, 4096, 4096),
    "matmul int4 1x4096x4096": matmul_nbits(1, 4096, 4096),
    "matmul int4 128x1024x4096": matmul_nbits(128, 1024, 4096),
    "matmul int8 1x4096x4096": matmul_integer(1, 4096, 4096),
    "matmul int8 256x768x768": matmul_integer(256, 768, 768),
    "layer norm 256x768": layer_norm(256, 768),
    "softmax 1536x128": softmax(1536, 128),
    "lstm 100 steps, 1 x 128, hidden 256": recurrent("LSTM", 100, 1, 128, 256),
    "lstm 100 steps, 8 x 512, hidden 512": recurrent("LSTM", 100, 8, 512, 512),
    "lstm both ways 100 steps, 1 x 256, hidden 256": recurrent("LSTM", 100, 1, 256, 256, 2),
    "gru 100 steps, 1 x 128, hidden 256": recurrent("GRU", 100, 1, 128, 256),
    "gru 100 steps, 8 x 512, hidden 512": recurrent("GRU", 100, 8, 512, 512),
}


def sinter_ms(path, threads, seconds):
    report = output_of(SINTER, "bench", path, "--random-inputs", "--threads", str(threads), "--warmup", "50ms",
                       "--duration", f"{int(seconds * 1000)}ms", "--json")
    return json.loads(report)["latency_ms"]["min"]


def peer_ms(session, feed, seconds):
    session.run(None, feed)
    least, begin = 1e9, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        session.run(None, feed)
        least = min(least, time.perf_counter() - start)
    return least * 1e3


def measure(name, arguments):
    nodes, initializers, dims = LAYERS[name]
    stem = f"{ROOT}/{name.replace(' ', '_').replace('/', 's')}"
    onnx.save(model(nodes, initializers, dims, "layer"), f"{stem}.onnx")
    output_of(SINTER, "compile", f"{stem}.onnx", "-o", f"{stem}.sinter", "--quiet")
    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.log_severity_level = 3
    session = ort.InferenceSession(f"{stem}.onnx", options, providers=["CPUExecutionProvider"])
    feed = {"x": RANDOM.standard_normal(dims).astype(np.float32)}
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(sinter_ms(f"{stem}.sinter", arguments.threads, arguments.seconds))
        theirs.append(peer_ms(session, feed, arguments.seconds))
    return min(ours), min(theirs)


def main():
    p = argparse.ArgumentParser(prog="bench/layers")
    p.add_argument("--only", default="", help="layers whose name has this text")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--seconds", type=float, default=0.3, help="of each round, on each side")
    arguments = p.parse_args()
    os.makedirs(ROOT, exist_ok=True)
    print(f"{cpu_name()}; {arguments.threads} threads, ONNX Runtime {ort.__version__}; milliseconds\n")
    print("| layer | sinter | ONNX Runtime | speed |\n|---|--:|--:|--:|")
    for name in LAYERS:
        if arguments.only in name:
            ours, theirs = measure(name, arguments)
            print(f"| {name} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |", flush=True)


main()
