"""Compiles the kernels; everything else about the package is in pyproject.toml.

Environment variables read at build time:
    HEBB_NATIVE=1   add -march=native (faster plain code on one machine; the wheel no longer runs elsewhere)
    HEBB_PORTABLE=1 leave the x86 intrinsics out (what other processors compile anyway)
    HEBB_DEBUG=1    bounds checks in Cython, -O1 and assertions: slow, for hunting memory errors
"""

import os
import platform
from pathlib import Path

import numpy
from setuptools import Extension, setup

native = os.environ.get("HEBB_NATIVE") == "1"
debug = os.environ.get("HEBB_DEBUG") == "1"

# -ffp-contract=off: a fused multiply-add changes the last bit, and with it the trajectory, from machine to machine.
flags = ["-O1", "-g", "-UNDEBUG"] if debug else ["-O3"]
flags += ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
if os.environ.get("HEBB_PORTABLE") == "1":
    flags.append("-DHEBB_PORTABLE")
if native:
    flags.append("-march=native")


def cythonize():
    from Cython import __version__ as cython_version
    from Cython.Build import cythonize as run

    shared = ["chain.pxi", "bitgen.pxd", "acceptance.h", "instruction_sets.h"]
    kernels = {"overlap": ["simd.h", "bit_sliced.h"], "real_patterns": ["real_simd.h", "real_simd_body.h"], "lumped": [],
               "field_learning": ["field_simd.h", "field_simd_body.h", "field_math.h"]}
    distributions = str(Path(numpy.get_include()).parents[1] / "random" / "lib")  # numpy's C binomials and normals
    extensions = [
        Extension(
            f"hebb.kernels.{name}",
            [f"cython_kernels/{name}.pyx"],
            depends=[f"cython_kernels/{header}" for header in shared + headers],
            include_dirs=[numpy.get_include(), "cython_kernels"],
            library_dirs=[distributions] if name == "lumped" else [],
            libraries=["npyrandom", "m"] if name == "lumped" else [],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("HEBB_FLAGS", f'"{" ".join(flags)}"'),
                ("HEBB_CYTHON", f'"{cython_version}"'),
            ],
            extra_compile_args=flags,
        )
        for name, headers in kernels.items()
    ]
    directives = {
        "language_level": 3,
        "boundscheck": debug,
        "wraparound": False,
        "cdivision": True,
        "initializedcheck": debug,
    }
    return run(extensions, compiler_directives=directives)


# hebb/kernels is a link to cython_kernels: the clone is importable as it stands, and an editable install (mode "compat") is one
# line in a .pth file. `import hebb` then means this package even where the current folder has a subfolder hebb, as above the
# clone. The finder that setuptools would write for a mapped folder is asked only after that subfolder was taken for a namespace
# package. An sdist, or a copy without links, maps the folder all the same.
linked = Path("hebb/kernels").is_dir()

setup(
    packages=["hebb", "hebb.models", "hebb.sampling", "hebb.theory", "hebb.deep", "hebb.storage", "hebb.runs", "hebb.kernels"],
    package_dir={} if linked else {"hebb.kernels": "cython_kernels"},
    package_data={"hebb": ["hebb.mplstyle"], "hebb.kernels": ["*.pyi", "*.pxd", "*.pxi", "*.h"]},
    ext_modules=cythonize(),
    options={"build_ext": {"parallel": os.cpu_count()}, "editable_wheel": {"mode": "compat"}},
)
if platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64"):
    print(f"hebb: {platform.machine()} is not tested; the plain C path is used")
