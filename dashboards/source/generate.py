"""Writes every board as JSON into a folder: `generate.py FOLDER`."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import cascades
import exporter
import models
import overview

BOARDS = {"overview": overview, "models": models, "cascades": cascades, "exporter": exporter}


def main(folder: Path) -> None:
    """Writes the boards."""
    for name, module in BOARDS.items():
        text = json.dumps(module.board().build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
