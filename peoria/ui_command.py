"""`peoria ui`: MLflow's page of a sweep."""

import argparse
import os
import sys
from typing import Any

from peoria.arguments import add_home


def port(text: str) -> int:
    """Of TCP, that anybody may listen at."""
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text}; 1 to 65535")
    return value


def add_ui_command(commands: Any) -> None:
    ui = commands.add_parser("ui", help="MLflow's page of a sweep, in a browser", description=ui_command.__doc__)
    ui.add_argument("name", nargs="?", help="the sweep's name (default: all sweeps side by side)")
    ui.add_argument("--port", type=port, metavar="N", help="where the server listens, on this machine alone (default: a free port)")
    ui.add_argument(
        "--tracking", metavar="URI", help="where MLflow is (default: MLFLOW_TRACKING_URI, or a database in --home); of a server only the link is told"
    )
    ui.add_argument("--no-open", action="store_true", help="open no browser")
    add_home(ui)
    ui.set_defaults(run=ui_command)


def ui_command(arguments: argparse.Namespace) -> int:
    """Starts MLflow's server on this machine, prints the link to a sweep's saved view, and opens it where there is a desktop; ends with Ctrl-C."""
    from peoria.errors import ConfigError, interruption
    from peoria.redact import scrub_text
    from peoria.tracking.database import default_tracking_uri, refuse_tracking
    from peoria.tracking.ui import Server, find_page
    from peoria.tracking.views import deep_link

    if arguments.tracking == "off":
        raise ConfigError("--tracking: 'off'; where MLflow is: a server, or a database")
    uri = arguments.tracking or default_tracking_uri(arguments.home)
    refuse_tracking(uri)
    experiment = find_page(uri, arguments.name)
    if uri.startswith(("http://", "https://")):
        link = deep_link(scrub_text(uri), experiment, arguments.name)
        print(link, flush=True)
        show(link, arguments)
        return 0
    log = arguments.home / "mlflow-ui.log"
    print(f"MLflow's server is starting; what it says: {log}", flush=True)
    try:
        with Server(uri, log, port=arguments.port) as server:
            link = deep_link(server.address, experiment, arguments.name)
            print(f"{link}\nfor this machine alone, until Ctrl-C (where a browser knows no {server.host}: 127.0.0.1)", flush=True)
            show(link, arguments)
            server.wait()
    except KeyboardInterrupt as error:  # the way that it ends
        came = interruption(error)
        code = getattr(came, "exit_code", 130)
        return 0 if code == 130 else int(code)
    return 0


def show(link: str, arguments: argparse.Namespace) -> None:
    """Opens a browser, where somebody sits before one."""
    desktop = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if desktop and sys.stdout.isatty() and not arguments.no_open:
        import webbrowser

        webbrowser.open(link)
