"""What people read."""

import sys

from peoria.called import CalledPackage

sys.modules[__name__].__class__ = CalledPackage
