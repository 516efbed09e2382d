# SPDX-License-Identifier: Apache-2.0
"""com.microsoft MoE and QMoE against numpy, on one device and with the experts over ranks.

usage: moe.py SINTER. Exit code 77, with a message, where there is no onnx module."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

RANDOM = np.random.default_rng(1)
EXPERTS, HIDDEN, INNER, TOKENS = 4, 16, 32, 6


def numbers(*shape):
    return (RANDOM.normal(size=shape) / 2).astype(np.float32)


def activate(name, fusion, h, up):
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    if name == "swiglu":
        gate, up = (h, up) if up is not None else (
            (h[0::2], h[1::2]) if fusion == 1 else np.split(h, 2))
        gate, up = np.minimum(gate, 0.7), np.clip(up, -0.7, 0.7)
        return gate * sigmoid(1.702 * gate) * (up + 1)
    h = {"relu": lambda x: np.maximum(x, 0), "silu": lambda x: x * sigmoid(x),
         "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
         "identity": lambda x: x}[name](h)
    return h if up is None else h * up


def mixture(x, p, c, k, normalize, name, fusion):
    """What the operator says, a token and an expert at a time, in f64."""
    flat = x.reshape(-1, HIDDEN).astype(np.float64)
    y = np.zeros_like(flat)
    for t, row in enumerate(flat):
        q = np.exp(p[t] - p[t].max())
        q = q / q.sum()
        chosen = np.argsort(-q)[:k]
        weights = q[chosen] / (q[chosen].sum() if normalize else 1)
        for e, w in zip(chosen, weights):
            layer = lambda i, v: c[f"w{i}"][e] @ v + (c[f"b{i}"][e] if f"b{i}" in c else 0)
            up = layer(3, row) if "w3" in c else None
            y[t] += w * layer(2, activate(name, fusion, layer(1, row), up))
    return y.reshape(x.shape).astype(np.float32)


def quantized(n, k, bits, block, zeros):
    """Bytes, scales, zero points or None, and the matrices they stand for."""
    per = 8 // bits
    w = RANDOM.integers(0, 2**bits, size=(EXPERTS, n, k))

    def pack(v):
        v = np.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, -v.shape[-1] % per)])
        return sum(v[..., i::per] << (bits * i) for i in range(per)).astype(np.uint8)

    blocks = k // block if block else 1
    s = np.abs(numbers(EXPERTS, n, blocks)) / 16 + np.float32(0.01)
    z = RANDOM.integers(0, 2**bits, size=(EXPERTS, n, blocks)) if zeros else None
    middle = z if zeros else 2 ** (bits - 1)
    middle = np.broadcast_to(middle, s.shape)
    matrix = (w.reshape(EXPERTS, n, blocks, -1) - middle[..., None]) * s[..., None]
    if zeros:
        z = pack(z if block else z[..., 0])
    return pack(w), s if block else s[..., 0], z, matrix.reshape(EXPERTS, n, k)


def save(folder, name, node, x, p, y, constants):
    folder = os.path.join(folder, name)
    os.makedirs(os.path.join(folder, "test_data_set_0"))
    value = lambda n, v: helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, v.shape)
    graph = helper.make_graph([node], "moe", [value("x", x), value("p", p)], [value("y", y)],
                              [numpy_helper.from_array(v, n) for n, v in constants.items()])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10),
              os.path.join(folder, "model.onnx"))
    for file, v in (("input_0", x), ("input_1", p), ("output_0", y)):
        with open(os.path.join(folder, "test_data_set_0", file + ".pb"), "wb") as f:
            f.write(numpy_helper.from_array(v).SerializeToString())


def attributes(k, normalize, name, fusion):
    a = {"k": k, "activation_type": name, "normalize_routing_weights": normalize}
    if name == "swiglu":
        a.update(swiglu_fusion=fusion, activation_alpha=1.702, activation_beta=1.0,
                 swiglu_limit=0.7)
    return a


def plain(folder, name, activation, fusion, bias, third, k, normalize, rank):
    x = numbers(2, TOKENS // 2, HIDDEN) if rank == 3 else numbers(TOKENS, HIDDEN)
    p, wide = numbers(TOKENS, EXPERTS), INNER * (2 if fusion else 1)
    c = {"w1": numbers(EXPERTS, wide, HIDDEN), "w2": numbers(EXPERTS, HIDDEN, INNER)}
    if third:
        c["w3"] = numbers(EXPERTS, INNER, HIDDEN)
    if bias:
        c.update(b1=numbers(EXPERTS, wide), b2=numbers(EXPERTS, HIDDEN))
    names = ["w1", "b1", "w2", "b2", "w3", "b3"]
    node = helper.make_node("MoE", ["x", "p"] + [n if n in c else "" for n in names], ["y"],
                            domain="com.microsoft", **attributes(k, normalize, activation, fusion))
    save(folder, name, node, x, p, mixture(x, p, c, k, normalize, activation, fusion), c)


def packed(folder, name, activation, fusion, bits, block, zeros):
    x, p, wide = numbers(TOKENS, HIDDEN), numbers(TOKENS, EXPERTS), INNER * (2 if fusion else 1)
    constants, c = {}, {}
    for i, (n, k) in ((1, (wide, HIDDEN)), (2, (HIDDEN, INNER))):
        w, s, z, c[f"w{i}"] = quantized(n, k, bits, block, zeros)
        constants.update({f"w{i}": w, f"s{i}": s})
        if zeros:
            constants[f"z{i}"] = z
    names = ["w1", "s1", "", "w2", "s2", "", "", "", ""] + (["z1", "z2"] if zeros else [])
    extra = {"expert_weight_bits": bits, "weights_prepacked": 0}
    if block:
        extra["block_size"] = block
    node = helper.make_node("QMoE", ["x", "p"] + names, ["y"], domain="com.microsoft", **extra,
                            **attributes(2, 1, activation, fusion))
    save(folder, name, node, x, p, mixture(x, p, c, 2, 1, activation, fusion), constants)


def main():
    with tempfile.TemporaryDirectory() as folder:
        plain(folder, "relu", "relu", 0, False, False, 2, 0, 2)
        plain(folder, "gelu", "gelu", 0, True, False, 2, 1, 3)
        plain(folder, "gated", "silu", 0, False, True, 2, 1, 2)
        plain(folder, "all", "identity", 0, True, False, EXPERTS, 1, 2)
        plain(folder, "in_turn", "swiglu", 1, True, False, 2, 1, 2)
        plain(folder, "in_halves", "swiglu", 2, False, False, 3, 0, 2)
        plain(folder, "apart", "swiglu", 0, False, True, 2, 1, 2)
        for bits in (2, 4, 8):
            for block in (0, 16):
                for zeros in (False, True):
                    packed(folder, f"q{bits}_{block}_{int(zeros)}",
                           "swiglu" if block else "relu", int(block > 0), bits, block, zeros)
        for ranks in (1, 2, 3):
            command = [sys.argv[1], "test", folder]
            if ranks > 1:
                command += ["--parallel", f"ep={ranks}", "--devices", f"cpu:{ranks}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            print(" ".join(command[1:]), done.stdout.strip().splitlines()[-1])
            if done.returncode:
                print(done.stdout, done.stderr)
                return 1
    return 0


sys.exit(main())
