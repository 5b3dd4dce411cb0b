"""A wing that is called by its name too."""

from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import Any


class CalledPackage(ModuleType):
    """The package of a wing whose name a function of `peoria.api` has: ``peoria.sweep(...)`` calls that. Python puts the package in the place of
    whatever `peoria` has under its name, as soon as anything of it is imported."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def _function(self) -> Any:
        return getattr(import_module("peoria.api"), self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> Signature:
        return signature(self._function)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return str(self._function.__doc__)
