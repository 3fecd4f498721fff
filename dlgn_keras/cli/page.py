"""dlgn-keras page: a site that runs presets in the browser and takes them apart."""

import argparse
import json

from dlgn_keras.cli.explain import twin_of
from dlgn_keras.cli.options import add_common_options
from dlgn_keras.cli.saved import MODEL_HELP, load_model

EXAMPLE = "dlgn-keras page dlgn_fc_mnist --out live"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", metavar="PRESET", help=f"of images; {MODEL_HELP}"
    )
    parser.add_argument("--out", default="live", help="folder of the site")
    parser.add_argument(
        "--runtime",
        metavar="FILE",
        help="npm package of onnxruntime-web (default: npm fetches it)",
    )
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dlgn_keras.interpret.live import live_page

    names = list(arguments.models)
    if len(names) == 1:
        names += filter(None, [twin_of(names[0])])  # its DNN beside it
    nets = {name: load_model(name) for name in names}
    page = live_page(nets, arguments.out, arguments.runtime)
    if arguments.json:
        print(json.dumps({"page": str(page), "models": names}))
    else:
        print(f"Wrote {page}")
