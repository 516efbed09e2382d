# SPDX-License-Identifier: Apache-2.0
"""Makes forms.ptx: python forms.py FILE. Every form of an instruction below that ptxas takes for sm_90a, one a line.

A pattern stands for all that its alternatives {a|b} give, those that there are not included: ptxas leaves them out.
In operands $ is a register of the first type of the opcode, # of its last, ^ of twice the first, each the next one;
V2 to V8 are that many of the first type in braces, Fn, Rn, Gn and Hn n registers of floats, words, doubles and halves."""
import itertools
import re
import subprocess
import sys
import tempfile

REGISTERS = {"%q": "b8", "%h": "b16 u8 s8 u16 s16 f16 bf16 e4m3x2 e5m2x2", "%f": "f32", "%g": "f64", "%w": "b128", "%p": "pred",
             "%r": "b32 u32 s32 f16x2 bf16x2 u16x2 s16x2 tf32", "%d": "b64 u64 s64"}
LETTER = {t: r for r, types in REGISTERS.items() for t in types.split()} | {"b8": "%h"}
TWICE = {"%h": "%r", "%r": "%d"}
INTEGERS, BITS, FLOATS = "u16|s16|u32|s32|u64|s64", "b16|b32|b64", "f32|f64|f16|f16x2|bf16|bf16x2"
MEMORY = "b8|u8|s8|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64"
SPACES, STRONG = "|.global|.shared|.shared::cta|.shared::cluster|.local", "|.volatile|.relaxed.cta|.relaxed.gpu|.relaxed.sys"
SCOPES, TX = "cta|cluster|gpu|sys", ".mbarrier::complete_tx::bytes"
COMPARE = "eq|ne|lt|le|gt|ge|lo|ls|hi|hs|equ|neu|ltu|leu|gtu|geu|num|nan"
OPERATIONS = "add|min|max|inc|dec|and|or|xor"

SCALAR = f"""
{{add|sub|mul.lo|mul.hi|div|rem|min|max}}.{{{INTEGERS}}} $, $, $
{{mad.lo|mad.hi|sad}}.{{{INTEGERS}}} $, $, $, $
{{mul|mad}}.wide.{{u16|s16|u32|s32}} ^, $, $
mad.wide.{{u16|s16|u32|s32}} ^, $, $, ^
{{add|min|max|min.relu|max.relu}}.{{u16x2|s16x2}} $, $, $
{{add.sat|sub.sat|min.relu|max.relu}}.s32 $, $, $
{{add.cc|addc|addc.cc|sub.cc|subc|subc.cc}}.{{u32|s32|u64|s64}} $, $, $
{{mad.lo.cc|mad.hi.cc|madc.lo|madc.hi|madc.lo.cc|madc.hi.cc}}.{{u32|s32|u64|s64}} $, $, $, $
mul24.{{lo|hi}}.{{u32|s32}} $, $, $
mad24.{{lo|hi}}.{{u32|s32}} $, $, $, $
{{abs|neg}}.{{s16|s32|s64|{FLOATS}}} $, $
{{add|sub|mul}}{{|.rn|.rz|.rm|.rp}}{{|.ftz}}{{|.sat}}.{{{FLOATS}}} $, $, $
{{fma.rn|fma.rz|fma.rm|fma.rp|mad.rn}}{{|.ftz}}{{|.sat}}.{{f32|f64}} $, $, $, $
fma.rn{{|.ftz}}{{|.sat|.relu}}.{{f16|f16x2|bf16|bf16x2}} $, $, $, $
{{div.rn|div.rz|div.rm|div.rp|div.approx|div.full}}{{|.ftz}}.{{f32|f64}} $, $, $
{{sqrt|rcp}}.{{rn|rz|rm|rp}}.{{f32|f64}} $, $
{{rcp|sqrt|rsqrt|sin|cos|lg2|ex2|tanh}}.approx{{|.ftz}}.{{{FLOATS}}} $, $
{{min|max}}{{|.ftz}}{{|.NaN}}{{|.xorsign.abs}}.{{{FLOATS}}} $, $, $
copysign.{{f32|f64}} $, $, $
testp.{{finite|infinite|number|notanumber|normal|subnormal}}.{{f32|f64}} %p0, $
{{and|or|xor}}.{{{BITS}|pred}} $, $, $
{{not|cnot}}.{{{BITS}|pred}} $, $
{{shl|shr}}.{{{BITS}|{INTEGERS}}} $, $, %r9
{{popc|clz}}.{{b32|b64}} %r9, $
brev.{{b32|b64}} $, $
{{bfind|bfind.shiftamt}}.{{u32|s32|u64|s64}} %r9, $
bfe.{{u32|s32|u64|s64}} $, $, %r8, %r9
bfi.{{b32|b64}} $, $, $, %r8, %r9
shf.{{l|r}}.{{clamp|wrap}}.b32 $, $, $, $
{{bmsk.clamp.b32|bmsk.wrap.b32|szext.clamp.u32|szext.wrap.s32}} $, $, $
lop3.b32 $, $, $, $, 0x1f
lop3.{{or|and}}.b32 %r9|%p0, $, $, $, 0x3f, %p1
fns.b32 $, $, $, $
prmt.b32{{|.f4e|.b4e|.rc8|.ecl|.ecr|.rc16}} $, $, $, $
{{dp4a|dp2a.lo|dp2a.hi}}.{{u32|s32}}.{{u32|s32}} $, $, $, $
{{vadd|vsub|vabsdiff|vmin|vmax}}.{{u32|s32}}.{{u32|s32}}.{{u32|s32}}{{|.sat}} $, $, $
{{vadd2|vsub4|vabsdiff2|vabsdiff4|vavrg2|vmin4|vmax2}}.u32.u32.u32{{|.add}} $, $, $, $
vset4.u32.u32.{{eq|ne|lt|ge}} $, $, $, $
{{vshl|vshr}}.u32.u32.u32.{{clamp|wrap}} $, $, $
vmad.s32.s32.s32{{|.sat}}{{|.shr7|.shr15}} $, $, $, $
setp.{{{COMPARE}}}.{{{INTEGERS}|{BITS}|f32|f64|f16|bf16}} %p0, $, $
setp.{{eq|lt}}.{{and|or|xor}}{{|.ftz}}.{{s32|f32|f16}} %p0|%p1, $, $, !%p2
setp.{{{COMPARE}}}.{{f16x2|bf16x2}} %p0|%p1, $, $
set.{{eq|lt|geu}}.{{u32|s32|f32|f16|u16|bf16|f16x2|bf16x2}}.{{s32|u64|f32|f64|f16|bf16|f16x2|bf16x2}} $, #, #
selp.{{{BITS}|{INTEGERS}|f32|f64}} $, $, $, %p0
slct.{{{BITS}|{INTEGERS}|f32|f64}}.s32 $, $, $, %r9
mov.{{{BITS}|{INTEGERS}|f32|f64|pred}} $, $
mov.{{b32|b64}} {{%h0, %h1}}, %r0
mov.b64 {{%r0, %r1}}, %d0
mov.b64 %d0, {{%h0, %h1, %h2, %h3}}
mov.b128 {{%d0, %d1}}, %w0
cvt{{|.rn|.rz|.rm|.rp|.rni|.rzi|.rmi|.rpi}}{{|.sat|.ftz}}.{{u8|s16|u32|s64|f16|bf16|f32|f64}}.{{s8|u16|s32|u64|f16|bf16|f32|f64}} $, #
cvt.{{rn|rz}}{{|.relu|.satfinite|.relu.satfinite}}.{{f16x2|bf16x2}}.f32 $, #, #
cvt.{{rn|rz}}{{|.relu|.satfinite|.relu.satfinite}}.{{f16|bf16|tf32}}.f32 $, #
cvt.rna{{|.satfinite}}.tf32.f32 $, #
cvt.rn.satfinite{{|.relu}}.{{e4m3x2|e5m2x2}}.f32 $, #, #
cvt.rn.satfinite{{|.relu}}.{{e4m3x2|e5m2x2}}.f16x2 $, #
cvt.rn{{|.relu}}.f16x2.{{e4m3x2|e5m2x2}} $, #
cvt.pack.sat.{{s16|u16}}.s32 %r0, %r1, %r2
cvt.pack.sat.{{s8|u8|s4|u4}}.s32.b32 %r0, %r1, %r2, %r3
"""
STORAGE = f"""
ld{{{STRONG}|.acquire.gpu|.weak}}{{{SPACES}|.const}}.{{{MEMORY}}} $, [%d9]
st{{{STRONG}|.release.gpu|.weak}}{{{SPACES}}}.{{{MEMORY}}} [%d9], $
ld{{{SPACES}}}.v{{2.b32|2.f64|4.f32|4.u8|4.u16}} {{V2|V4}}, [%d9+16]
st{{{SPACES}}}.v{{2.b32|2.f64|4.f32|4.u8|4.u16}} [%d9+16], {{V2|V4}}
{{ld.global|ld.global.nc|ld.relaxed.gpu.global}}.b128 $, [%d9]
ld.global{{|.nc}}{{|.L1::evict_last|.L1::no_allocate}}{{|.L2::128B}}.v4.f32 V4, [%d9]
{{ld|st}}.global{{|.L1::evict_first}}.L2::cache_hint.b32 {{%r0, [%d9]|[%d9], %r0}}, %d1
ld.global{{.ca|.cg|.cs|.lu|.cv}}{{|.nc}}.b32 $, [%d9]
st.global{{.wb|.cg|.cs|.wt}}.b32 [%d9], $
ldu.global.{{f32|u64}} $, [%d9]
ld.param.b8 %h0, [p+3]
prefetch{{.global.L1|.global.L2|.local.L2|.global.L2::evict_last|.tensormap|.const.tensormap}} [%d9]
{{applypriority.global.L2::evict_normal|discard.global.L2}} [%d9], 128
isspacep.{{const|global|local|shared|shared::cta|shared::cluster|param}} %p0, %d9
cvta{{|.to}}.{{const|global|local|shared}}.u64 %d0, %d1
mapa{{|.shared::cluster}}.u64 %d0, %d1, %r2
getctarank.shared::cluster.u32 %r0, %r1
createpolicy.fractional.L2::{{evict_last|evict_first}}{{|.L2::evict_unchanged}}.b64 %d0, 0.5
createpolicy.range.global.L2::evict_last.b64 %d0, [%d1], %r0, %r1
atom{{|.relaxed|.acquire|.release|.acq_rel}}{{|.cta|.gpu|.sys}}{{|.global|.shared|.shared::cluster}}.add.u32 $, [%d9], $
atom{{|.global|.shared}}.{{{OPERATIONS}|exch}}.{{b32|b64|u32|s32|u64|s64|f32|f64|b128}} $, [%d9], $
atom{{|.global|.shared}}.add.noftz.{{f16|f16x2|bf16|bf16x2}} $, [%d9], $
atom{{|.global|.shared}}.cas.{{b16|b32|b64|b128}} $, [%d9], $, $
atom.global.v{{2|4|8}}.{{f32|f16|bf16|f16x2|bf16x2}}.add{{|.noftz}} {{V2, [%d9], V2|V4, [%d9], V4|V8, [%d9], V8}}
red{{|.release.gpu|.relaxed.sys}}{{|.global|.shared}}.{{{OPERATIONS}}}.{{b32|b64|u32|s32|u64|s64|f32|f64}} [%d9], $
red.global.v{{2|4}}.f32.add [%d9], {{V2|V4}}
ldmatrix.sync.aligned.m8n8.x{{1|2|4}}{{|.trans}}{{|.shared}}.b16 {{R1|R2|R4}}, [%d9]
stmatrix.sync.aligned.m8n8.x{{1|2|4}}{{|.trans}}{{|.shared}}.b16 [%d9], {{R1|R2|R4}}
movmatrix.sync.aligned.m8n8.trans.b16 %r0, %r1
"""
TOGETHER = f"""
shfl.sync.{{up|down|bfly|idx}}.b32 {{%r8|%r8, $|$}}, %r3, 31, -1
vote.sync.{{all|any|uni}}.pred $, $, -1
vote.sync.ballot.b32 $, %p1, %r9
match.any.sync.{{b32|b64}} %r9, $, -1
match.all.sync.{{b32|b64}} %r9|%p0, $, -1
{{activemask.b32 %r0|elect.sync _, %p0, -1|elect.sync %r0, %r1}}
redux.sync.{{add|min|max|and|or|xor}}.{{u32|s32|b32}} $, $, -1
{{bar|bar.cta|barrier|barrier.cta}}{{.sync|.arrive}}{{|.aligned}} {{0|%r0|1, 64|%r0, %r1}}
{{bar|barrier|barrier.cta}}.red{{.and|.or}}{{|.aligned}}.pred %p0, {{0|1, 64}}, !%p1
{{bar|barrier|barrier.cta}}.red.popc{{|.aligned}}.u32 %r0, {{0|1, 64}}, %p1
bar.warp.sync %r0
barrier.cluster.{{arrive|arrive.release|arrive.relaxed|wait|wait.acquire}}{{|.aligned}}
{{membar.cta|membar.gl|membar.sys|membar.proxy.alias|fence.mbarrier_init.release.cluster|fence.proxy.alias}}
fence{{|.sc|.acq_rel|.acquire|.release}}.{{{SCOPES}}}
fence.proxy.async{{|.global|.shared::cta|.shared::cluster}}
fence.proxy.tensormap::generic.release.{{{SCOPES}}}
fence.proxy.tensormap::generic.acquire.{{{SCOPES}}} [%d9], 128
{{griddepcontrol.wait|griddepcontrol.launch_dependents|setmaxnreg.inc.sync.aligned.u32 232|setmaxnreg.dec.sync.aligned.u32 40}}
{{nanosleep.u32 100|trap|brkpt|pmevent 3}}
mbarrier.init{{|.shared|.shared::cta}}.b64 [%d9], {{1|%r0}}
mbarrier.inval{{|.shared}}.b64 [%d9]
mbarrier.{{arrive|arrive_drop}}{{|.release.cta|.relaxed.cluster}}{{|.shared|.shared::cta}}.b64 {{%d0|_}}, [%d9]
mbarrier.{{arrive|arrive_drop}}{{|.noComplete|.expect_tx}}{{|.shared::cta}}.b64 %d0, [%d9], 2
mbarrier.{{arrive|arrive.expect_tx|arrive_drop}}{{|.release.cluster}}.shared::cluster.b64 _, [%r9], 2
mbarrier.{{test_wait|try_wait}}{{|.acquire.cta|.acquire.cluster|.relaxed.cta}}{{|.shared}}.b64 %p0, [%d9], %d0
mbarrier.{{test_wait|try_wait}}.parity{{|.acquire.cta|.relaxed.cluster}}{{|.shared}}.b64 %p0, [%d9], {{%r0|1}}
mbarrier.try_wait{{|.parity}}.shared.b64 %p0, [%d9], {{%r0|%d0}}, 1000
mbarrier.{{expect_tx|complete_tx}}{{|.relaxed.cta|.relaxed.cluster}}{{|.shared|.shared::cluster}}.b64 [%d9], %r0
mbarrier.pending_count.b64 %r0, %d0
"""
COPIES = f"""
cp.async.{{ca|cg}}.shared{{|::cta}}.global{{|.L2::128B}} [%r0], [%d9], {{4|8|16}}{{|, %r1|, %p1}}
cp.async.ca.shared.global.L2::cache_hint [%r0], [%d9], 4, %d1
{{cp.async.commit_group|cp.async.wait_group 0|cp.async.wait_all|cp.async.bulk.commit_group|cp.async.bulk.wait_group 1|cp.async.bulk.wait_group.read 0}}
cp.async.mbarrier.arrive{{|.noinc}}{{|.shared}}.b64 [%d9]
cp.async.bulk.{{shared::cluster|shared::cta}}.global{TX}{{|.multicast::cluster}}{{|.L2::cache_hint}} [%r0], [%d9], %r2, [%r1]{{|, %h0|, %d1|, %h0, %d1}}
cp.async.bulk.shared::cluster.shared::cta{TX} [%r0], [%r2], 64, [%r1]
cp.async.bulk.global.shared::cta.bulk_group{{|.L2::cache_hint}} [%d9], [%r0], 64{{|, %d1}}
cp.async.bulk.prefetch.L2.global [%d9], 64
cp.reduce.async.bulk.global.shared::cta.bulk_group.{{{OPERATIONS}}}{{|.noftz}}.{{b32|b64|u32|s32|u64|s64|f16|bf16|f32|f64}} [%d9], [%r0], 64
cp.reduce.async.bulk.shared::cluster.shared::cta{TX}.{{{OPERATIONS}}}.{{b32|u32|s32|u64}} [%r0], [%r1], 64, [%r2]
cp.async.bulk.tensor.{{1|2|3|4|5}}d.{{shared::cluster|shared::cta}}.global{{|.tile}}{TX} [%r0], [%d9, {{R1|R2|R3|R4|R5}}], [%r1]
cp.async.bulk.tensor.{{2|4}}d.shared::cluster.global{TX}.multicast::cluster{{|.L2::cache_hint}} [%r0], [%d9, {{R2|R4}}], [%r1], %h0{{|, %d1}}
cp.async.bulk.tensor.{{3|4|5}}d.shared::cluster.global.im2col{TX} [%r0], [%d9, {{R3|R4|R5}}], [%r1], {{H1|H2|H3}}
cp.async.bulk.tensor.{{1|2|3|4|5}}d.global.shared::cta{{|.tile|.im2col_no_offs}}.bulk_group [%d9, {{R1|R2|R3|R4|R5}}], [%r0]
cp.reduce.async.bulk.tensor.{{1|3|5}}d.global.shared::cta.{{{OPERATIONS}}}.bulk_group [%d9, {{R1|R3|R5}}], [%r0]
cp.async.bulk.prefetch.tensor.{{1|2|3|4|5}}d.L2.global [%d9, {{R1|R2|R3|R4|R5}}]
st.async{{|.weak}}.shared::cluster{TX}.{{b32|f32|s64|f64}} [%r0], $, [%r2]
st.async.shared::cluster{TX}.v{{2|4}}.{{b32|u64}} [%r0], {{V2|V4}}, [%r2]
red.async.relaxed.cluster.shared::cluster{TX}.{{{OPERATIONS}}}.{{u32|s32|b32|u64}} [%r0], $, [%r2]
tensormap.replace.tile.{{rank|elemtype|interleave_layout|swizzle_mode|fill_mode}}.{{global.b1024.b32 [%d9]|shared::cta.b1024.b32 [%r9]}}, 1
tensormap.replace.tile.{{box_dim|global_dim|element_stride}}.{{global.b1024.b32 [%d9]|shared::cta.b1024.b32 [%r9]}}, 1, %r1
tensormap.replace.tile.{{global_address.global.b1024.b64 [%d9]|global_stride.shared::cta.b1024.b64 [%r9], 0}}, %d1
tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.{{{SCOPES}}}.sync.aligned [%d9], [%r0], 128
"""
PRODUCTS = """
mma.sync.aligned.m16n8k{8|16}.row.col.{f32|f16}.{f16.f16|bf16.bf16}.{f32|f16} {F4|R2}, {R2, R1|R4, R2}, {F4|R2}
mma.sync.aligned.m16n8k{4|8}.row.col.f32.tf32.tf32.f32 F4, {R2, R1|R4, R2}, F4
mma.sync.aligned.{m8n8k4|m16n8k4|m16n8k8|m16n8k16}.row.col.f64.f64.f64.f64 {G2, G1, G1, G2|G4, G2, G1, G4|G4, G4, G2, G4|G4, G8, G4, G4}
mma.sync.aligned.m16n8k{16|32|64}.row.col{|.satfinite}.s32.{u8|s8|u4|s4}.{u8|s8|u4|s4}.s32 R4, {R2, R1|R4, R2}, R4
mma.sync.aligned.m8n8k{16|32}.row.col.s32.{u8|s8|u4|s4}.{u8|s8|u4|s4}.s32 R2, R1, R1, R2
mma.sync.aligned.{m8n8k128|m16n8k128|m16n8k256}.row.col.s32.b1.b1.s32.{xor|and}.popc {R2, R1, R1, R2|R4, R2, R1, R4|R4, R4, R2, R4}
mma.sync.aligned.m16n8k{16|32}.row.col.{f32|f16}.{e4m3|e5m2}.{e4m3|e5m2}.{f32|f16} {F4, R2, R1, F4|F4, R4, R2, F4|R2, R2, R1, R2|R2, R4, R2, R2}
mma.{sp|sp::ordered_metadata}.sync.aligned.m16n8k{8|16|32}.row.col.f32.{f16.f16|bf16.bf16|tf32.tf32}.f32 F4, {R2, R2|R4, R4}, F4, %r9, {0|1}
mma.sp::ordered_metadata.sync.aligned.m16n8k{32|64|128}.row.col.s32.{s8|u8|s4}.{s8|u4|s4}.s32 R4, {R2, R2|R4, R4}, R4, %r9, 0
wmma.load.{a|b}.sync.aligned.{row|col}.{m16n16k16|m8n32k16|m32n8k16}{|.global|.shared}.{f16|bf16|s8|u8} {R1|R2|R4|R8}, [%d9]{|, %r9}
wmma.load.c.sync.aligned.row.m16n16k16.{f16|f32|s32} {R4|F8|R8}, [%d9], %r9
wmma.store.d.sync.aligned.{row|col}.m16n16k16.shared.{f16|f32|s32} [%d9], {R4|F8|R8}
wmma.mma.sync.aligned.{row|col}.{row|col}.{m16n16k16|m8n32k16|m32n8k16}.{f32|f16}.{f32|f16} {F8|R4}, R8, R8, {F8|R4}
wmma.mma.sync.aligned.row.col.m16n16k16.f32.bf16.bf16.f32 F8, R4, R4, F8
wmma.mma.sync.aligned.row.col.m16n16k16.s32.{s8.s8|u8.u8}.s32{|.satfinite} R8, R2, R2, R8
wmma.mma.sync.aligned.row.col.m16n16k8.f32.tf32.tf32.f32 F8, R4, R4, F8
wgmma.mma_async.sync.aligned.m64n{8k16.f32|16k16.f32|8k16.f16}.{f16.f16|bf16.bf16} {F4|F8|R2}, {%d0|R4}, %d1, %p0, 1, -1{|, 0|, 1, 0}
wgmma.mma_async.sync.aligned.m64n8k{8.f32.tf32.tf32|32.f32.e4m3.e5m2|32.f32.e5m2.e5m2} F4, {%d0|R4}, %d1, %p0, 1, 1
wgmma.mma_async.sync.aligned.m64n16k{32{|.satfinite}.s32.s8.u8|256.s32.b1.b1.and.popc} R8, {%d0|R4}, %d1, %p0
wgmma.mma_async.sp.sync.aligned.m64n8k{32.f32.f16.f16|32.f32.bf16.bf16|16.f32.tf32.tf32|64.f32.e4m3.e4m3} F4, {%d0|R4}, %d1, %r9, 0, %p0, 1, 1{|, 0|, 0, 0}
{wgmma.fence.sync.aligned|wgmma.commit_group.sync.aligned|wgmma.wait_group.sync.aligned 1}
mov.u32 %r0, %{tid.x|ntid.y|ctaid.z|nctaid.x|laneid|warpid|nwarpid|smid|nsmid|lanemask_eq|lanemask_ge|clock|clock_hi|globaltimer_lo|globaltimer_hi|clusterid.x|cluster_ctarank|cluster_nctaid.z|dynamic_smem_size|total_smem_size}
mov.u64 %d0, %{clock64|globaltimer}
"""


def expand(pattern):
    """Innermost alternatives first; braces of registers have no bar in them."""
    found = re.search(r"\{([^{}]*\|[^{}]*)\}", pattern)
    if not found:
        yield pattern
        return
    for choice in found[1].split("|"):
        yield from expand(pattern[:found.start()] + choice + pattern[found.end():])


def many(letter, n, count):
    return "{" + ", ".join(f"{letter}{next(count) % 12}" for _ in range(n)) + "}"


def form(text):
    opcode, _, operands = text.partition(" ")
    types = [t for t in opcode.split(".") if t in LETTER]
    first, last = (LETTER[types[0]], LETTER[types[-1]]) if types else ("%r", "%r")
    count = itertools.count()
    operands = re.sub(r"\b([VFRGH])(\d)\b", lambda m: many({"V": first, "F": "%f", "R": "%r", "G": "%g", "H": "%h"}[m[1]], int(m[2]), count), operands)
    operands = re.sub(r"[$#^]", lambda m: {"$": first, "#": last, "^": TWICE.get(first, "%d")}[m[0]] + str(next(count) % 8), operands)
    return f"{opcode} {operands}".strip() + ";"


HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"
ENTRY = (".visible .entry forms{}(.param .u64 p) {{\n.reg .pred %p<8>; .reg .b8 %q<12>; .reg .b16 %h<12>; .reg .b32 %r<12>;\n"
         ".reg .b64 %d<12>; .reg .f32 %f<12>; .reg .f64 %g<12>; .reg .b128 %w<8>;\n")


def accepted(forms):
    """Without those that ptxas names in its errors, until it has none; one by one where it names none."""
    while True:
        text, lines = HEAD, {}
        for f in forms:
            text += ENTRY.format(len(lines))
            lines[text.count("\n") + 1] = f
            text += f + "\nret; }\n"
        with tempfile.NamedTemporaryFile("w", suffix=".ptx") as out:
            out.write(text)
            out.flush()
            run = subprocess.run(["ptxas", "-arch=sm_90a", "-O0", out.name, "-o", "/dev/null"], capture_output=True, text=True)
        bad = {lines.get(int(n)) for n in re.findall(r"line (\d+); error", run.stderr)} - {None}
        if not bad:
            if run.returncode == 0 or len(forms) == 1:
                return forms if run.returncode == 0 else []
            return [f for one in forms for f in accepted([one])]
        forms = [f for f in forms if f not in bad]


if __name__ == "__main__":
    everything = list(dict.fromkeys(form(t) for part in (SCALAR, STORAGE, TOGETHER, COPIES, PRODUCTS)
                                    for line in part.strip().split("\n") for t in expand(line)))
    kept = [f for k in range(0, len(everything), 200) for f in accepted(everything[k:k + 200])]
    with open(sys.argv[1], "w") as out:
        out.write("// Made by forms.py.\n" + HEAD + ENTRY.format("") + "\n".join(kept) + "\nret; }\n")
    print(len(kept), "of", len(everything))
