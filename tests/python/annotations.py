# SPDX-License-Identifier: Apache-2.0
"""Sharding annotations (ONNX IR 11): a plan written into a model, which onnx's checker accepts and
which gives that plan again; annotations by hand; malformed ones, refused all at once.

usage: annotations.py SINTER. Exit code 77, with a message, where there is no onnx module."""
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

SINTER = sys.argv[1]
RANDOM = np.random.default_rng(1)
bad = 0


def expect(good, what):
    global bad
    if not good:
        print("wrong:", what)
        bad += 1


def weights(**shapes):
    return [numpy_helper.from_array((RANDOM.normal(size=s) / 4).astype(np.float32), n)
            for n, s in shapes.items()]


def model(nodes, inputs, outputs, initializers):
    value = lambda n, s: helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)
    graph = helper.make_graph(nodes, "g", [value(*i) for i in inputs.items()],
                              [value(*o) for o in outputs.items()], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=11)


def mlp():
    n = helper.make_node
    return model([n("MatMul", ["x", "w1"], ["h"], name="up"), n("Relu", ["h"], ["a"], name="act"),
                  n("Gemm", ["a", "w2", "b2"], ["y"], name="down", transB=1)],
                 {"x": ["batch", 8]}, {"y": ["batch", 8]}, weights(w1=(8, 24), w2=(8, 24), b2=(8,)))


def attention():
    n, nodes = helper.make_node, []
    shape = numpy_helper.from_array(np.array([0, 0, 4, 8], np.int64), "heads")
    back = numpy_helper.from_array(np.array([0, 0, 32], np.int64), "flat")
    scale = numpy_helper.from_array(np.array(8**-0.5, np.float32), "scale")
    for x in "qkv":
        nodes += [n("MatMul", ["x", "w" + x], [x + "1"]), n("Reshape", [x + "1", "heads"], [x + "2"]),
                  n("Transpose", [x + "2"], [x], perm=[0, 2, 3, 1] if x == "k" else [0, 2, 1, 3])]
    nodes += [n("MatMul", ["q", "k"], ["s"]), n("Mul", ["s", "scale"], ["t"]),
              n("Softmax", ["t"], ["p"]), n("MatMul", ["p", "v"], ["o"]),
              n("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]), n("Reshape", ["o1", "flat"], ["o2"]),
              n("MatMul", ["o2", "wo"], ["y"])]
    return model(nodes, {"x": ["batch", "rows", 32]}, {"y": ["batch", "rows", 32]},
                 weights(wq=(32, 32), wk=(32, 32), wv=(32, 32), wo=(32, 32)) + [shape, back, scale])


def sinter(*args):
    return subprocess.run([SINTER, *args], capture_output=True, text=True, check=False)


def split(path, *options):
    """The program of a rank."""
    done = sinter("compile", path, "--emit", "graph", "--stop-after", "partition", *options)
    expect(done.returncode == 0, f"{path} {options}: {done.stderr}")
    return done.stdout


def without_annotations(m):
    m = onnx.ModelProto.FromString(m.SerializeToString())
    del m.configuration[:]
    for node in m.graph.node:
        del node.device_configurations[:]
    return m.SerializeToString()


def round_trip(folder, m, name, meshes):
    path, annotated = os.path.join(folder, name), os.path.join(folder, "annotated-" + name)
    onnx.save(m, path)
    for options in meshes:
        done = sinter("compile", path, *options, "--emit", "onnx", "-o", annotated)
        expect(done.returncode == 0, f"{name} {options}: {done.stderr}")
        again = onnx.load(annotated)
        onnx.checker.check_model(again)
        expect(without_annotations(again) == m.SerializeToString(), f"{name} {options}: changed")
        specs = [s for n in again.graph.node for c in n.device_configurations
                 for s in c.sharding_spec if s.sharded_dim]
        expect(len(specs) > 2, f"{name} {options}: {len(specs)} tensors are split")
        want = split(path, *options)
        expect(" exchange " in want, f"{name} {options}: nothing is exchanged")
        expect(split(annotated) == want, f"{name} {options}: another plan")
        expect("annotated" in sinter("compile", annotated, "--parallel", "dp=2", "--emit",
                                     "plan").stderr, f"{name}: --parallel hides annotations")


def annotate(m, node, configuration, **specs):
    n = next(x for x in m.graph.node if x.name == node)
    c = n.device_configurations.add(configuration_id=configuration)
    for tensor, (devices, dims, groups) in specs.items():
        s = c.sharding_spec.add(tensor_name=tensor, device=devices)
        for axis, shards in dims:
            s.sharded_dim.add(axis=axis).simple_sharding.add(num_shards=shards)
        for key, value in groups.items():
            s.index_to_device_group_map.add(key=key, value=value)


def by_hand(folder):
    """Two devices by any name, columns then rows; groups of copies over four."""
    path = os.path.join(folder, "hand.onnx")
    m = mlp()
    m.configuration.add(name="a pair", num_devices=2, device=["left", "right"])
    annotate(m, "up", "a pair", w1=([0, 1], [(-1, 2)], {}), h=([0, 1], [(1, 2)], {}))
    annotate(m, "down", "a pair", a=([0, 1], [(1, 2)], {}), w2=([0, 1], [(1, 2)], {}))
    onnx.save(m, path)
    text = split(path)
    expect(text.count(" exchange ") == 1 and "all_reduce" in text, "columns, then rows")
    text = split(path, "--machine", "cpux2")
    expect(text.count("@ {-, device}") >= 2, "the search is bound by annotations")
    expect(sinter("plan", path, "--machine", "cpux2").returncode == 0, "a plan of annotations")
    m = mlp()
    m.configuration.add(name="dp=2,tp=2", num_devices=4)
    annotate(m, "up", "dp=2,tp=2", x=([-1, -2], [(0, 2)], {-1: [0, 1], -2: [2, 3]}),
             h=([0, 1, 2, 3], [(0, 2), (1, 2)], {}))
    onnx.save(m, path)
    expect("mesh @m0 [dp=2, tp=2]" in split(path), "groups of devices")


def refused(folder):
    path = os.path.join(folder, "wrong.onnx")
    m = mlp()
    m.configuration.add(name="two", num_devices=2)
    annotate(m, "up", "none", h=([0, 1], [(1, 2)], {}))
    annotate(m, "up", "two", w1=([0, 1], [(2, 2)], {}), z=([0, 1], [], {}), h=([0, 0], [(1, 2)], {}))
    annotate(m, "act", "two", h=([0, 1, 1], [(1, 2)], {}), a=([0, 2], [(1, 2)], {}))
    annotate(m, "down", "two", a=([0, 1], [(0, 2), (0, 1)], {}), w2=([0, 1], [(1, -2)], {}),
             y=([0, 1], [(1, 1 << 40)], {}), b2=([0], [], {}))
    onnx.save(m, path)
    done = sinter("compile", path, "-o", os.path.join(folder, "x.sinter"))
    expect(done.returncode == 3, f"exit code {done.returncode}")
    expect(done.stderr.count("error[E0346]") == 9, "\n" + done.stderr)
    expect(done.stderr.count("error[E0347]") == 1, "\n" + done.stderr)
    for wrong in ({"name": "", "num_devices": 2}, {"name": "n", "num_devices": -1},
                  {"name": "n", "num_devices": 1 << 30},
                  {"name": "n", "num_devices": 2, "device": ["one"]}):
        m = mlp()
        m.configuration.add(**wrong)
        onnx.save(m, path)
        done = sinter("compile", path, "-o", os.path.join(folder, "x.sinter"))
        expect(done.returncode == 3 and "E0346" in done.stderr, f"{wrong}: {done.stderr}")
    m = mlp()
    annotate(m, "up", "none", h=([0, 1], [(1, 2)], {}))
    onnx.save(m, path)
    expect("E0346" in sinter("compile", path, "--emit", "plan").stderr, "no configuration at all")
    m = mlp()
    m.configuration.add(name="three", num_devices=3)
    annotate(m, "act", "three", h=([0, 1, 2], [(0, 3)], {}), a=([0, 1, 2], [(1, 3)], {}))
    onnx.save(m, path)
    expect("E0347" in sinter("compile", path, "--emit", "plan").stderr, "what no split gives")


def main():
    with tempfile.TemporaryDirectory() as folder:
        round_trip(folder, mlp(), "mlp.onnx",
                   [("--parallel", p) for p in ("tp=2", "tp=3", "dp=2", "dp=2,tp=2")])
        round_trip(folder, attention(), "attention.onnx",
                   [("--parallel", p) for p in ("tp=2", "tp=4", "dp=2", "cp=2", "dp=2,tp=2")] +
                   [("--machine", "cpux2", "--workload", "main:batch=64,rows=512")])
        by_hand(folder)
        refused(folder)
    return bad > 0


sys.exit(main())
