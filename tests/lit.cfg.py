# SPDX-License-Identifier: Apache-2.0
# The text tests: each .sir or .test file under tests/ says in RUN lines how it is checked.
# CMake's `lit` test runs them all; by hand, from the top folder:
#   /usr/lib/llvm-19/build/utils/lit/lit.py -v --param build=build/dev tests/ir
import os

import lit.formats

llvm_bin = "/usr/lib/llvm-19/bin"
source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
build = os.path.abspath(lit_config.params.get("build", os.path.join(source, "build", "dev")))

config.name = "sinter"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".sir", ".test"]
config.excludes = ["data", "support"]
config.test_source_root = os.path.join(source, "tests")
config.test_exec_root = os.path.join(build, "tests")
config.environment["PATH"] = os.pathsep.join([build, llvm_bin, os.environ["PATH"]])
# Two runs of one test must agree on everything, and a leak is a failure.
config.environment["ASAN_OPTIONS"] = "detect_leaks=1"
config.environment["LC_ALL"] = "C"

if os.environ.get("SINTER_ALL"):
    config.available_features.add("all")

config.substitutions.append(("%sinter", os.path.join(build, "sinter")))
config.substitutions.append(("%models", os.path.join(source, "models")))
config.substitutions.append(("%root", source))
