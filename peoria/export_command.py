"""`peoria export` and `peoria register`: their flags, and what they do given them."""

import argparse
from typing import Any

from peoria.arguments import add_home, local_path
from peoria.commands import bring

FORMATS = ("safetensors", "torch", "onnx")


def add_export_commands(commands: Any) -> None:
    export = commands.add_parser("export", help="the model of a sweep's winner, for use elsewhere, and its card", description=export_command.__doc__)
    export.add_argument("name", help="the sweep's name")
    add_home(export)
    export.add_argument("--target", choices=("views", "favorites"), default="views", help="the winner for which count (default: %(default)s)")
    export.add_argument(
        "--format",
        action="append",
        dest="formats",
        choices=FORMATS,
        help="safetensors: the weights; torch: a program that needs torch alone; onnx: one for an ONNX runtime; may be given again "
        "(default: safetensors and torch)",
    )
    export.add_argument("--out", type=local_path, metavar="DIR", help="where it goes (default: models/NAME in --home; models/NAME/favorites)")
    export.set_defaults(run=export_command)

    register = commands.add_parser("register", help="a sweep's winners into MLflow's registry", description=register_command.__doc__)
    register.add_argument("name", help="the sweep's name")
    add_home(register)
    register.add_argument("--tracking", metavar="URI", help="where MLflow is (default: as the sweep)")
    register.set_defaults(run=register_command)


def export_command(arguments: argparse.Namespace) -> int:
    """Writes the model of a sweep's winner with its cards: weights, and a program with preprocessing and formulas inside; each is run and compared
    with the net's own scores first."""
    from peoria.serving.export import EXACT_AND_CHEAP, export

    bring(arguments, models=True)
    out = arguments.out or arguments.home / "models" / arguments.name / ("favorites" if arguments.target == "favorites" else "")
    for path in export(arguments.home, arguments.name, out, arguments.target, arguments.formats or EXACT_AND_CHEAP):
        print(path)
    return 0


def register_command(arguments: argparse.Namespace) -> int:
    """Registers a sweep's winners, for views and for favourites, in MLflow, where they can be loaded and served without peoria. `peoria report` does
    it too; the same model twice is one version."""
    from peoria.errors import ConfigError
    from peoria.serving.register import register
    from peoria.tracking.database import refuse_tracking

    if arguments.tracking == "off":
        raise ConfigError("--tracking: 'off'; the MLflow that models are registered with")
    if arguments.tracking is not None:
        refuse_tracking(arguments.tracking)
    bring(arguments, models=True)
    register(arguments.home, arguments.name, tracking=arguments.tracking)
    return 0
