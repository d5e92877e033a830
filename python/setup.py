"""Tags the wheel: for one platform when it carries the library, for any otherwise; never for one version of Python, because
the library is loaded by ctypes. All else is in pyproject.toml."""

import pathlib

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

CARRIES_LIBRARY = (pathlib.Path(__file__).parent / "tenon/libtenon.so.0").exists()


class TenonDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return CARRIES_LIBRARY


class TenonWheel(bdist_wheel):
    def get_tag(self) -> tuple:
        return "py3", "none", super().get_tag()[2]


setup(distclass=TenonDistribution, cmdclass={"bdist_wheel": TenonWheel})
