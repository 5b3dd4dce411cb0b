"""A sweep from its definition to its record."""

import sys

from peoria.called import CalledPackage

sys.modules[__name__].__class__ = CalledPackage
