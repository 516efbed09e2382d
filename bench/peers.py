# SPDX-License-Identifier: Apache-2.0
"""The measuring half of bench/peers: run it by that script.

Both sides get the same models, fixed input shapes (engines are compiled for them; ONNX Runtime gets them
as free-dimension overrides) and inputs from the same ranges. Rounds alternate between the two, and the
least of the rounds' medians counts, as what other work on the machine costs is not theirs."""

import argparse
import datetime
import json
import math
import os
import re
import statistics
import subprocess
import time

import numpy as np
import onnxruntime as ort

ROOT = "build/peers"
SINTER, ZOO = "build/release/sinter", "build/release/zoo"
BEGIN, END = "<!-- zoo: begin (bench/peers --write) -->", "<!-- zoo: end -->"


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cases_of(model):
    """[(name, options)]"""
    lines = output_of(ZOO, model, "--size", "full", "--cases").splitlines()
    return [tuple(line.split(" ", 1)) for line in lines]


def parse_options(options):
    """Shapes and ranges by input name."""
    words = options.split()
    shapes, ranges = {}, {}
    for option, value in zip(words[::2], words[1::2]):
        name, rest = re.match(r"(.*?)[:=](.*)", value).groups() if option == "--input" else value.rsplit(":", 1)
        if option == "--shape":
            shapes[name] = [int(d) for d in rest.split("x")]
        else:
            ranges[name] = [int(x) for x in rest.split(":")[1].split("..")]
    return shapes, ranges


def dims_of(inputs, shapes):
    """The sizes of named dims, from the shapes that are given."""
    sizes = {}
    for port in inputs:
        for dim, size in zip(port.shape, shapes.get(port.name, [])):
            if isinstance(dim, str):
                sizes[dim] = size
    return sizes


class Peer:
    """An ONNX Runtime session with its inputs."""

    def __init__(self, path, options, threads):
        shapes, ranges = parse_options(options)
        plain = ort.InferenceSession(path, self.options(1, {}, False), providers=["CPUExecutionProvider"])
        sizes = dims_of(plain.get_inputs(), shapes)
        del plain
        self.session = ort.InferenceSession(path, self.options(threads, sizes, True), providers=["CPUExecutionProvider"])
        random = np.random.default_rng(0)
        self.feed = {}
        for port in self.session.get_inputs():
            dims = [sizes.get(d, d) for d in port.shape]
            if port.type == "tensor(int64)":
                low, high = ranges[port.name]
                self.feed[port.name] = random.integers(low, high + 1, dims, dtype=np.int64)
            else:
                self.feed[port.name] = random.standard_normal(dims, dtype=np.float32)

    @staticmethod
    def options(threads, sizes, optimize):
        o = ort.SessionOptions()
        o.intra_op_num_threads = threads
        o.inter_op_num_threads = 1
        o.log_severity_level = 3
        if not optimize:
            o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        for name, size in sizes.items():
            o.add_free_dimension_override_by_name(name, size)
        return o

    def median_ms(self, seconds):
        self.session.run(None, self.feed)
        times, begin = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            self.session.run(None, self.feed)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3


def sinter_ms(engine, options, threads, seconds):
    report = output_of(SINTER, "bench", engine, "--random-inputs", *options.split(), "--threads", str(threads),
                       "--warmup", "200ms", "--duration", f"{int(seconds * 1000)}ms", "--json")
    return json.loads(report)["latency_ms"]["p50"]


def prepare(model):
    folder = f"{ROOT}/{model}"
    newest = os.path.getmtime(ZOO)
    path = f"{folder}/model.onnx"
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        output_of(ZOO, model, "--size", "full", "-o", folder)
    return path


def measure(model, arguments):
    path = prepare(model)
    for case, options in cases_of(model):
        engine = f"{ROOT}/{model}-{case}.sinter"
        shapes = [w for pair in zip(options.split()[::2], options.split()[1::2]) if pair[0] == "--shape" for w in pair]
        output_of(SINTER, "compile", path, "-o", engine, "--quiet", *shapes)
        for threads in arguments.threads:
            peer = Peer(path, options, threads)
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                ours.append(sinter_ms(engine, options, threads, arguments.seconds))
                theirs.append(peer.median_ms(arguments.seconds))
            del peer
            row = (model, case, threads, min(ours), min(theirs))
            print("%-13s %-7s %d  %9.3f ms  %9.3f ms  %.2f" % (*row, row[4] / row[3]), flush=True)
            yield row
        os.unlink(engine)


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def cpu_name():
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags"))
    return f"{names[0]}, {len(names)} CPUs, {'AVX-512' if 'avx512f' in flags else 'AVX2'}"


def table(rows, note):
    version = json.loads(output_of(SINTER, "version", "--json"))
    text = [f"{datetime.date.today()}; {cpu_name()}; sinter {version.get('version', '')}, ONNX Runtime {ort.__version__}. "
            "Milliseconds, batch 1; speed is that of sinter over that of ONNX Runtime."]
    if note:
        text[0] += " " + note
    text += ["", "| model | run | threads | sinter | ONNX Runtime | speed |", "|---|---|--:|--:|--:|--:|"]
    for model, case, threads, ours, theirs in rows:
        text.append(f"| `{model}` | {case} | {threads} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} |")
    for threads in sorted({row[2] for row in rows}):
        mean = geometric_mean([row[4] / row[3] for row in rows if row[2] == threads])
        text.append(f"| geometric mean | | {threads} | | | {mean:.2f} |")
    text.append(f"| geometric mean | | | | | {geometric_mean([row[4] / row[3] for row in rows]):.2f} |")
    return "\n".join(text)


def write(path, text):
    page = open(path).read()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w") as f:
        f.write(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main():
    p = argparse.ArgumentParser(prog="bench/peers")
    p.add_argument("--models", type=lambda s: s.split(","), help="a,b,... (all)")
    p.add_argument("--threads", type=lambda s: [int(x) for x in s.split(",")], default=[1, 2])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1, help="of each round, on each side")
    p.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    p.add_argument("--note", default="", help="a sentence about the circumstances")
    arguments = p.parse_args()
    os.makedirs(ROOT, exist_ok=True)
    models = arguments.models or output_of(ZOO, "--list").split()
    print("%-13s %-7s %s  %12s  %12s  speed" % ("model", "run", "threads", "sinter", "onnxruntime"), flush=True)
    rows = [row for model in models for row in measure(model, arguments)]
    text = table(rows, arguments.note)
    print("\n" + text)
    if arguments.write:
        write("docs/benchmarks.md", text)


if __name__ == "__main__":
    main()
