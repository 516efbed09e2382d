# SPDX-License-Identifier: Apache-2.0
"""The measuring half of bench/gpu: run it by that script.

Every family is a module in text IR. First each is compared with the interpreter at a small size, on the
device that will be timed. Then, for each size, Sinter's engine and the peers take turns in random order,
`--rounds` times, each sample after `--idle` seconds without work, so that clocks and power are alike; the
median of the rounds counts. Sinter's time is that of its kernels by the GPU's own clock (`sinter bench
--profile`), a peer's is by events around a call that has been made before. Fractions are of ceilings that
are measured in the same run: bytes of a copy on the device, flops of the fastest matrix product of 8192."""

import argparse
import contextlib
import ctypes
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find_program(name):
    """In a bundle, or in the tree."""
    for place in (os.environ.get("SINTER_PROGRAMS"), f"{HERE}/bin", f"{HERE}/build/release"):
        if place and os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    return None


SINTER = find_program("sinter")


class Failed(Exception):
    pass


def sinter(*arguments, timeout=900):
    """Its report, as JSON."""
    try:
        done = subprocess.run([SINTER, *arguments, "--json"], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"sinter {arguments[0]} took longer than {timeout} s")
    if done.returncode:
        raise Failed((done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}")[-600:])
    return json.loads(done.stdout) if done.stdout.strip() else {}


# ---- families: (text, bytes that must move, flops), by size ----

def pointwise(n):
    text = f"""func @main(%a: bf16[{n}], %b: bf16[{n}]) -> (bf16[{n}]) {{
  %0 = map %a, %b {{ mul(mul($0, sigmoid($0)), $1) }}
  return %0
}}
entry @main("a", "b") -> ("y") {{ @main; }}
"""
    return text, 3 * 2 * n, 0


def rows(kind):
    def family(m, n):
        body = {
            "softmax": """  %f = map %x { f32($0) }
  %m = reduce %f { axes = [1], kind = max }
  %e = map %f, %m { exp(sub($0, $1)) }
  %s = reduce %e { axes = [1], kind = sum }
  %y = map %e, %s { bf16(div($0, $1)) }""",
            "rmsnorm": f"""  %f = map %x {{ f32($0) }}
  %q = map %f {{ mul($0, $0) }}
  %s = reduce %q {{ axes = [1], kind = sum }}
  %y = map %f, %s, %w {{ bf16(mul(div($0, sqrt(add(div($1, {n}.0), 0.00001))), f32($2))) }}""",
            "layernorm": f"""  %f = map %x {{ f32($0) }}
  %s = reduce %f {{ axes = [1], kind = sum }}
  %d = map %f, %s {{ sub($0, div($1, {n}.0)) }}
  %q = map %d {{ mul($0, $0) }}
  %v = reduce %q {{ axes = [1], kind = sum }}
  %y = map %d, %v, %w {{ bf16(mul(div($0, sqrt(add(div($1, {n}.0), 0.00001))), f32($2))) }}""",
        }[kind]
        weight = "" if kind == "softmax" else f", %w: bf16[1, {n}]"
        names = '"x"' if kind == "softmax" else '"x", "w"'
        text = f"""func @main(%x: bf16[{m}, {n}]{weight}) -> (bf16[{m}, {n}]) {{
{body}
  return %y
}}
entry @main({names}) -> ("y") {{ @main; }}
"""
        return text, 2 * 2 * m * n, 0
    return family


def gemm(m, n, k, dtype="bf16"):
    text = f"""func @main(%x: {dtype}[{m}, {k}], %w: {dtype}[{n}, {k}]) -> ({dtype}[{m}, {n}]) {{
  %y = contract %x, %w {{ lhs_k = [1], rhs_k = [1], dtype = {dtype} }}
  return %y
}}
entry @main("x", "w") -> ("y") {{ @main; }}
"""
    size = 4 if dtype == "f32" else 2
    return text, size * (m * k + n * k + m * n), 2 * m * n * k


def attention(batch, heads, kv, queries, keys, depth, causal):
    text = f"""func @main(%q: bf16[{batch}, {heads}, {queries}, {depth}], %k: bf16[{batch}, {kv}, {keys}, {depth}],
           %v: bf16[{batch}, {kv}, {keys}, {depth}]) -> (bf16[{batch}, {heads}, {queries}, {depth}]) {{
  %y = attention %q, %k, %v {{ scale = {depth ** -0.5!r}, causal = {"true" if causal else "false"} }}
  return %y
}}
entry @main("q", "k", "v") -> ("y") {{ @main; }}
"""
    flops = 4 * batch * heads * queries * keys * depth // (2 if causal and queries == keys else 1)
    return text, 2 * batch * depth * (2 * kv * keys + 2 * heads * queries), flops


def conv(n, ci, co, size, kernel):
    pad = kernel // 2
    text = f"""func @main(%x: f16[{n}, {ci}, {size}, {size}], %w: f16[{co}, {ci}, {kernel}, {kernel}]) -> (f16[{n}, {co}, {size}, {size}]) {{
  %y = conv %x, %w {{ stride = [1, 1], dilation = [1, 1], low = [{pad}, {pad}], high = [{pad}, {pad}], groups = 1, dtype = f16 }}
  return %y
}}
entry @main("x", "w") -> ("y") {{ @main; }}
"""
    return text, 2 * (n * (ci + co) * size * size + ci * co * kernel ** 2), 2 * n * ci * co * size ** 2 * kernel ** 2


# name: (function, a small size for the check, true sizes)
FAMILIES = {
    "pointwise": (pointwise, (4104,), [(1 << 26,)]),
    "softmax": (rows("softmax"), (9, 264), [(16384, 4096)]),
    "rmsnorm": (rows("rmsnorm"), (9, 264), [(16384, 4096)]),
    "layernorm": (rows("layernorm"), (9, 264), [(16384, 4096)]),
    "gemm": (gemm, (130, 72, 96), [(8192, 8192, 8192), (4096, 4096, 4096), (2048, 14336, 4096), (512, 4096, 4096), (128, 4096, 4096)]),
    "gemv": (gemm, (1, 72, 96), [(1, 4096, 4096), (8, 14336, 4096)]),
    "attention": (attention, (1, 2, 2, 40, 40, 64, False),
                  [(1, 32, 32, 2048, 2048, 128, False), (1, 32, 32, 2048, 2048, 128, True), (1, 32, 32, 8192, 8192, 128, False),
                   (1, 32, 32, 8192, 8192, 128, True)]),
    "decode": (attention, (2, 4, 2, 1, 70, 64, False), [(1, 32, 8, 1, 8192, 128, False), (8, 32, 8, 1, 8192, 128, False)]),
    "conv": (conv, (1, 16, 24, 9, 3), [(32, 64, 64, 56, 3), (32, 256, 256, 14, 3)]),
}


# ---- peers: of a family and its size a function that does the work once on the GPU, or a reason ----

class Peers:
    """torch and what stands on it; `why` says what is missing."""

    def __init__(self):
        self.why, self.torch = "", None
        try:
            import torch
            if not torch.cuda.is_available():
                raise RuntimeError("torch has no GPU")
            torch.zeros(1, device="cuda")
            self.torch = torch
        except Exception as error:
            self.why = f"{type(error).__name__}: {error}"

    def random(self, *dims, dtype=None):
        return self.torch.randn(*dims, device="cuda", dtype=dtype or self.torch.bfloat16)

    def calls(self, family, size):
        """(name, make), where make() may raise: then the peer is left out and that is the reason."""
        torch = self.torch
        if not torch:
            return
        F = torch.nn.functional

        def compiled(f, *operands):
            g = torch.compile(f)
            g(*operands)
            return lambda: g(*operands)

        def eager(f, *operands):
            return lambda: f(*operands)

        makers = []
        if family == "pointwise":
            f = lambda a, b: F.silu(a) * b
            makers = [("torch", lambda: eager(f, self.random(*size), self.random(*size))),
                      ("torch.compile", lambda: compiled(f, self.random(*size), self.random(*size)))]
            makers.append(("Triton", lambda: triton_pointwise(torch, self.random(*size), self.random(*size))))
        elif family in ("softmax", "rmsnorm", "layernorm"):
            f = {"softmax": lambda x, w: torch.softmax(x, -1),
                 "rmsnorm": lambda x, w: F.rms_norm(x, w.shape, w, 1e-5),
                 "layernorm": lambda x, w: F.layer_norm(x, w.shape, w, None, 1e-5)}[family]
            makers = [("torch", lambda: eager(f, self.random(*size), self.random(size[1]))),
                      ("torch.compile", lambda: compiled(f, self.random(*size), self.random(size[1])))]
        elif family in ("gemm", "gemv"):
            m, n, k = size
            f = lambda x, w: F.linear(x, w)
            makers = [("cuBLAS", lambda: eager(f, self.random(m, k), self.random(n, k))),
                      ("cuBLASLt", lambda: preferring(torch, "cublaslt", eager(f, self.random(m, k), self.random(n, k)))),
                      ("torch.compile", lambda: compiled(f, self.random(m, k), self.random(n, k)))]
        elif family in ("attention", "decode"):
            b, h, g, s, t, d, causal = size
            operands = lambda: (self.random(b, h, s, d), self.random(b, g, t, d), self.random(b, g, t, d))
            f = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=h != g)
            for name, backend in (("flash", "FLASH_ATTENTION"), ("cuDNN", "CUDNN_ATTENTION"), ("torch", None)):
                makers.append((name, lambda backend=backend: attention_by(torch, backend, f, operands())))
        elif family == "conv":
            n, ci, co, hw, kernel = size
            f = lambda x, w: F.conv2d(x, w, padding=kernel // 2)
            half = lambda *dims: self.random(*dims, dtype=torch.float16).to(memory_format=torch.channels_last)
            makers = [("cuDNN NHWC", lambda: eager(f, half(n, ci, hw, hw), half(co, ci, kernel, kernel))),
                      ("torch.compile", lambda: compiled(f, half(n, ci, hw, hw), half(co, ci, kernel, kernel)))]
        yield from makers

    def sample(self, call, idle):
        """One cool sample, in seconds."""
        torch = self.torch
        torch.cuda.synchronize()
        time.sleep(idle)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3


def preferring(torch, library, call):
    def run():
        before = torch.backends.cuda.preferred_blas_library()
        torch.backends.cuda.preferred_blas_library(library)
        try:
            call()
        finally:
            torch.backends.cuda.preferred_blas_library(before)
    run()
    return run


def attention_by(torch, backend, f, operands):
    if not backend:
        return lambda: f(*operands)
    from torch.nn.attention import SDPBackend, sdpa_kernel
    which = getattr(SDPBackend, backend)

    def run():
        with sdpa_kernel(which):
            f(*operands)
    run()
    return run


def triton_pointwise(torch, a, b):
    import importlib.util
    import triton  # noqa: F401: says what is missing
    source = '''
import triton
import triton.language as tl

@triton.jit
def kernel(a, b, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(a + i, mask=i < n).to(tl.float32)
    z = x * tl.sigmoid(x) * tl.load(b + i, mask=i < n).to(tl.float32)
    tl.store(y + i, z.to(tl.bfloat16), mask=i < n)
'''
    path = os.path.join(WORK, "triton_kernel.py")
    with open(path, "w") as f:
        f.write(source)
    spec = importlib.util.spec_from_file_location("triton_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    y, n = torch.empty_like(a), a.numel()
    run = lambda: module.kernel[((n + 2047) // 2048,)](a, b, y, n, BLOCK=2048)
    run()
    return run


# ---- ceilings ----

class Driver:
    """The driver itself, for the copy: it is there wherever a GPU is."""

    def __init__(self, library, ordinal):
        self.cuda = ctypes.CDLL(library)
        self.call("cuInit", 0)
        device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), ordinal)
        name = ctypes.create_string_buffer(128)
        self.call("cuDeviceGetName", name, 128, device)
        self.name = name.value.decode(errors="replace")
        self.capability = 10 * self.attribute(75, device) + self.attribute(76, device)
        self.device = device

    def call(self, function, *arguments):
        result = getattr(self.cuda, function)(*arguments)
        if result:
            raise Failed(f"{function} gives {result}")

    def attribute(self, which, device):
        value = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(value), which, device)
        return value.value

    def copy_bandwidth(self, size, rounds, idle):
        """Bytes read and written per second, the best median of a copy on the device."""
        byref, u64 = ctypes.byref, ctypes.c_uint64
        self.call("cuDevicePrimaryCtxRetain", byref(self.context), self.device)
        self.call("cuCtxSetCurrent", self.context)
        a, b, begin, end = u64(), u64(), ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self.call("cuMemAlloc_v2", byref(a), ctypes.c_size_t(size))
            self.call("cuMemAlloc_v2", byref(b), ctypes.c_size_t(size))
            self.call("cuMemsetD8_v2", a, 1, ctypes.c_size_t(size))
            self.call("cuEventCreate", byref(begin), 0)
            self.call("cuEventCreate", byref(end), 0)
            times = []
            for i in range(rounds + 1):
                time.sleep(idle)
                self.call("cuEventRecord", begin, None)
                self.call("cuMemcpyDtoDAsync_v2", b, a, ctypes.c_size_t(size), None)
                self.call("cuEventRecord", end, None)
                self.call("cuEventSynchronize", end)
                ms = ctypes.c_float()
                self.call("cuEventElapsedTime", byref(ms), begin, end)
                times.append(ms.value * 1e-3)
            return 2 * size / max(statistics.median(times[1:]), 1e-9)
        finally:
            for p in (a, b):
                if p.value:
                    self.cuda.cuMemFree_v2(p)
            self.cuda.cuDevicePrimaryCtxRelease_v2(self.device)


def find_gpu(arguments):
    """The driver of the GPU, or the reason that there is none."""
    try:
        return Driver("libcuda.so.1", int(arguments.device.partition(":")[2] or 0)), ""
    except (OSError, Failed, ValueError) as error:
        return None, str(error)


# ---- the work ----

def write_family(family, size, name):
    path = os.path.join(WORK, f"{name}.sir")
    text, moved, flops = FAMILIES[family][0](*size)
    with open(path, "w") as f:
        f.write(text)
    return path, moved, flops


def check_family(family, arguments):
    """Compared with the interpreter at a small size, there."""
    path, _, _ = write_family(family, FAMILIES[family][1], f"check-{family}")
    sinter("verify", path, "--target", arguments.target, "--devices", arguments.device, "--random-inputs")


def kernel_seconds(engine, arguments, iterations):
    report = sinter("bench", engine, "--devices", arguments.device, "--random-inputs", "--profile", "--warmup", "0ms",
                    "--iterations", str(iterations), "--duration", "200ms")
    kernels = report["kernels"]
    if not kernels:
        raise Failed("no kernel ran")
    return sum(k["us_per_run"] for k in kernels) * 1e-6, [k["kernel"] for k in kernels]


def measure(family, size, peers, arguments):
    """Rows (who, seconds, note), ours first; seconds is None where note says why."""
    path, moved, flops = write_family(family, size, "-".join([family, *map(str, size)]))
    engine = path[:-4] + ".sinter"
    sinter("compile", path, "--target", arguments.target, "-o", engine)
    makers, skipped = {}, []
    for name, make in peers.calls(family, size):
        try:
            call = make()
            call()
            peers.torch.cuda.synchronize()
            makers[name] = call
        except Exception as error:
            skipped.append((name, None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]))
    samples, note = {name: [] for name in ("sinter", *makers)}, ""
    turns = [name for name in samples for _ in range(arguments.rounds)]
    random.Random(arguments.seed).shuffle(turns)
    for name in turns:
        try:
            if name == "sinter":
                time.sleep(arguments.idle)
                seconds, kernels = kernel_seconds(engine, arguments, 1)
                note = " ".join(kernels)
            else:
                seconds = peers.sample(makers[name], arguments.idle)
            samples[name].append(seconds)
        except Exception as error:
            note = str(error).splitlines()[-1][:160] if name == "sinter" and str(error) else note
    rows_ = [(name, statistics.median(times) if times else None, note if name == "sinter" else "") for name, times in samples.items()]
    return rows_ + skipped, moved, flops


def zoo_models(arguments):
    zoo = find_program("zoo")
    if not zoo:
        return [], "there is no program `zoo`"
    names = subprocess.run([zoo, "--list"], capture_output=True, text=True).stdout.split()
    return [(zoo, n) for n in names if arguments.models is None or n in arguments.models], ""


def measure_zoo(zoo, model, arguments, size):
    """Rows (model and case, who, seconds, note): whole runs, inputs and outputs of the host's included."""
    folder = os.path.join(WORK, "zoo", model)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    subprocess.run([zoo, model, "--size", size, "-o", folder], check=True, capture_output=True)
    cases = subprocess.run([zoo, model, "--size", size, "--cases"], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in cases:
        case, _, options = line.partition(" ")
        words = options.split()
        pairs = list(zip(words[::2], words[1::2]))
        shapes = [w for p in pairs if p[0] == "--shape" for w in p]
        engine = os.path.join(folder, f"{case}.sinter")
        try:
            sinter("compile", f"{folder}/model.onnx", "--target", arguments.target, "-o", engine, *shapes, timeout=1800)
            report = sinter("bench", engine, "--devices", arguments.device, "--random-inputs", *words, "--warmup", "200ms",
                            *(["--iterations", "1"] if arguments.sim else ["--duration", "1s"]))
            yield f"{model} {case}", "sinter", report["latency_ms"]["p50"] * 1e-3, ""
        except Exception as error:
            yield f"{model} {case}", "sinter", None, str(error).splitlines()[0][:160]
        if not arguments.sim:
            try:
                yield f"{model} {case}", "ONNX Runtime", onnxruntime_seconds(f"{folder}/model.onnx", words), ""
            except Exception as error:
                yield f"{model} {case}", "ONNX Runtime", None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
        with contextlib.suppress(OSError):
            os.unlink(engine)
    shutil.rmtree(folder, ignore_errors=True)


def onnxruntime_seconds(path, words):
    import numpy as np
    import onnxruntime as ort
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise RuntimeError("ONNX Runtime is here without CUDA")
    shapes, ranges = {}, {}
    for option, value in zip(words[::2], words[1::2]):
        if option == "--shape":
            name, dims = value.rsplit(":", 1)
            shapes[name] = [int(d) for d in dims.split("x")]
        else:
            name, _, bounds = value.partition("=")
            ranges[name] = [int(x) for x in bounds.rpartition(":")[2].split("..")]
    session = ort.InferenceSession(path, providers=["CUDAExecutionProvider"])
    generator, feed, sizes = np.random.default_rng(0), {}, {}
    for port in session.get_inputs():
        for dim, size in zip(port.shape, shapes.get(port.name, [])):
            if isinstance(dim, str):
                sizes[dim] = size
    for port in session.get_inputs():
        dims = [sizes.get(d, d) for d in port.shape]
        if port.type == "tensor(int64)":
            low, high = ranges[port.name]
            feed[port.name] = generator.integers(low, high + 1, dims, dtype=np.int64)
        else:
            feed[port.name] = generator.standard_normal(dims).astype(np.float16 if port.type == "tensor(float16)" else np.float32)
    for _ in range(3):
        session.run(None, feed)
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < 1:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# ---- the report ----

def fraction(moved, flops, seconds, ceilings):
    """Of the ceiling that is nearer: whether the work is bound by bytes or by flops."""
    if not seconds:
        return ""
    of_bytes = moved / seconds / ceilings["copy"] if ceilings.get("copy") else 0
    of_flops = flops / seconds / ceilings["mma"] if ceilings.get("mma") and flops else 0
    return "%.2f of %s" % max((of_bytes, "copy"), (of_flops, "peak")) if of_bytes or of_flops else ""


def print_row(what, who, seconds, moved, flops, ceilings, note, sim):
    if seconds is None:
        print("%-44s %-14s %s" % (what, who, f"skipped: {note}"), flush=True)
        return
    rate = "%.1f TFLOP/s" % (flops / seconds * 1e-12) if flops else "%.2f TB/s" % (moved / seconds * 1e-12) if moved else ""
    if sim:
        print("%-44s %-14s ran                        %s" % (what, who, note), flush=True)
    else:
        print("%-44s %-14s %10.1f us  %14s  %-14s %s" % (what, who, seconds * 1e6, rate, fraction(moved, flops, seconds, ceilings), note), flush=True)


def run(arguments, driver):
    peers = Peers() if not arguments.sim else None
    results, bad, ceilings = [], [], {}
    wanted = [f for f in FAMILIES if not arguments.only or f in arguments.only]
    if not arguments.sim:
        print(f"{driver.name}, compute capability {driver.capability // 10}.{driver.capability % 10}; target {arguments.target}")
        print("torch " + (peers.torch.__version__ if peers.torch else f"is left out, with all peers that need it: {peers.why}"))
        with contextlib.suppress(Failed):
            ceilings["copy"] = driver.copy_bandwidth(1 << 30, arguments.rounds, arguments.idle)
            print("ceiling: copy %.2f TB/s" % (ceilings["copy"] * 1e-12))
    print("\nchecks against the interpreter")
    for family in wanted:
        try:
            check_family(family, arguments)
            print(f"  ok      {family}", flush=True)
        except Failed as error:
            bad.append(family)
            print(f"  FAILED  {family}: {error}", flush=True)
    sizes = [(f, FAMILIES[f][1] if arguments.sim else s) for f in wanted for s in (FAMILIES[f][2] if not arguments.sim else [0])]
    sizes.sort(key=lambda x: x[0] != "gemm")  # the ceiling of the others
    print("\nkernels" + (": that they run is all that is seen" if arguments.sim else ""))
    for family, size in sizes:
        what = f"{family} {' '.join(map(str, size))}"
        try:
            rows_, moved, flops = measure(family, size, peers or NoPeers(), arguments)
        except Exception as error:
            bad.append(what)
            print(f"{what}: FAILED: {error}", flush=True)
            continue
        if family == "gemm" and not arguments.sim:
            ceilings["mma"] = max([ceilings.get("mma", 0)] + [flops / s for _, s, _ in rows_ if s])
        if rows_[0][1] is None:
            bad.append(what)
        for who, seconds, note in rows_:
            print_row(what, who, seconds, moved, flops, ceilings, note, arguments.sim)
            results.append({"what": what, "who": who, "seconds": seconds, "bytes": moved, "flops": flops, "note": note})
    if "mma" in ceilings:
        print("ceiling: matrix products %.0f TFLOP/s, the fastest seen here" % (ceilings["mma"] * 1e-12))
    models, why = ([], "left out") if arguments.models == [] else zoo_models(arguments)
    print("\nthe zoo, whole runs from host to host" + (f": {why}" if why else ""))
    for zoo, model in models:
        try:
            for what, who, seconds, note in measure_zoo(zoo, model, arguments, "tiny" if arguments.sim else "full"):
                print_row(what, who, seconds, 0, 0, ceilings, note, arguments.sim)
                results.append({"what": what, "who": who, "seconds": seconds, "note": note})
                if who == "sinter" and seconds is None:
                    bad.append(what)
        except Exception as error:
            bad.append(model)
            print(f"{model}: FAILED: {error}", flush=True)
    if arguments.json:
        report = {"device": driver.name if driver else arguments.device, "target": arguments.target, "ceilings": ceilings, "results": results, "failed": bad}
        with open(arguments.json, "w") as f:
            json.dump(report, f, indent=1)
    print("\nbench/gpu: " + (f"FAILED: {', '.join(bad)}" if bad else "passed"))
    return 1 if bad else 0


class NoPeers:
    torch = None

    def calls(self, family, size):
        return ()


def words(text):
    return [w for w in text.split(",") if w]


def main():
    global WORK
    p = argparse.ArgumentParser(prog="bench/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sim", action="store_true", help="small sizes on a simulated GPU")
    p.add_argument("--device", default="cuda:0")
    p.add_argument("--target", help="sm_90a, ... (the GPU's own; with --sim sm_80)")
    p.add_argument("--only", type=words, default=[], help="families: " + ", ".join(FAMILIES))
    p.add_argument("--models", type=words, help="of the zoo; none: '' (all; with --sim two)")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--idle", type=float, default=0.15, help="seconds without work before a sample")
    p.add_argument("--seed", type=int, default=0, help="of the order")
    p.add_argument("--json", help="write the figures to this file")
    arguments = p.parse_args()
    unknown = [f for f in arguments.only if f not in FAMILIES]
    if unknown or not SINTER:
        print(f"bench/gpu: there is no {unknown[0] if unknown else 'program sinter: build it, or run this from a bundle'}", file=sys.stderr)
        return 2
    driver = None
    if not arguments.sim:
        driver, why = find_gpu(arguments)
        if not driver:
            print(f"there is no GPU here ({why}): nothing is timed; checking on a simulated one")
            arguments.sim = True
    if arguments.sim:
        arguments.device, arguments.rounds, arguments.idle = "sim:1", 1, 0
        arguments.models = ["bert_base", "resnet50"] if arguments.models is None else arguments.models
    known = {70: "sm_70", 75: "sm_75", 80: "sm_80", 86: "sm_86", 89: "sm_89", 90: "sm_90a"}
    if not arguments.target:
        lower = [c for c in known if driver and c <= driver.capability]
        arguments.target = "sm_80" if arguments.sim else known.get(driver.capability) or ("sm_90" if driver.capability > 90 else known[max(lower)])
    WORK = tempfile.mkdtemp(prefix="sinter-bench-gpu-")
    try:
        return run(arguments, driver)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
