"""Builds the compiled layer against an installed libblazen, which it takes inside: LIBBLAZEN_PREFIX says where that is, or
pkg-config does."""

import os
import pathlib
import subprocess
import sys

from setuptools import Extension, setup


def pkg_config(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["pkg-config", *arguments, "blazen"], check=True, capture_output=True, text=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            "libblazen is not found: set LIBBLAZEN_PREFIX to the folder it is installed in (it has include/blazen/blazen.h),"
            " or PKG_CONFIG_PATH to where its blazen.pc is"
        ) from None


def places() -> tuple[str, pathlib.Path]:
    prefix = os.environ.get("LIBBLAZEN_PREFIX")
    if prefix is None:
        return pkg_config("--variable=includedir"), pathlib.Path(pkg_config("--variable=libdir"))
    return os.path.join(prefix, "include"), pathlib.Path(prefix, "lib")


def library(folder: pathlib.Path) -> str:
    archive = folder / "libblazen.a"
    if not archive.is_file():
        raise SystemExit(f"{folder} has no libblazen.a: install libblazen with its static library")
    return str(archive)


IS_LINUX = sys.platform.startswith("linux")
include, folder = places()
sources = sorted(str(path) for path in pathlib.Path("src/_blazen").glob("*.c"))
extension = Extension(
    "blazen._blazen",
    sources,
    depends=["src/_blazen/common.h", os.path.join(include, "blazen", "blazen.h"), library(folder)],
    include_dirs=[include],
    define_macros=[("Py_LIMITED_API", "0x030b0000"), ("BLAZEN_STATIC", "1")],
    extra_objects=[library(folder)],
    libraries=["c++"] if sys.platform == "darwin" else ["stdc++", "m", "pthread"],
    extra_compile_args=["-std=c11", "-O2", "-fno-plt", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-Wl,--exclude-libs,ALL", "-Wl,--gc-sections", "-Wl,-s"] if IS_LINUX else [],
    py_limited_api=True,
)
setup(ext_modules=[extension], options={"bdist_wheel": {"py_limited_api": "cp311"}})
