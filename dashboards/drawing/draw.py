"""Draws each board into one picture, with what a Prometheus answers: `draw.py URL SCRAPE SPAN BOARDS PICTURES`.

URL is that of the Prometheus, SCRAPE how often it scrapes and SPAN the time range, both in seconds; BOARDS is the folder
of the boards as JSON. Says for each board which panels had nothing to show.
"""

import json
import sys
import time
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from ask import Prometheus
from panels import draw

COLUMNS = 24
# Inches of a column and of a unit of height in the board's grid.
WIDE, HIGH = 0.75, 0.42


def picture(board: dict, prometheus: Prometheus) -> list[str]:
    """Draws a board; returns the titles of panels that had nothing to show."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = plt.figure(figsize=(COLUMNS * WIDE, height * HIGH + 0.5))
    figure.suptitle(board["title"], x=0.01, y=0.998, ha="left", fontsize=13)
    empty = []
    for panel in board["panels"]:
        at = panel["gridPos"]
        top = 1 - (at["y"] * HIGH + 0.5) / (height * HIGH + 0.5)
        if panel["type"] == "row":
            figure.text(0.01, top - 0.002, panel["title"], fontsize=10, va="top", color="#8ab8ff")
            continue
        tall, share = at["h"] * HIGH / (height * HIGH + 0.5), HIGH / (height * HIGH + 0.5)
        # A graph has its legend below.
        below = (2.2 if panel["type"] == "timeseries" else 0.8) * share
        place = (at["x"] / COLUMNS + 0.03, top - tall + below, at["w"] / COLUMNS - 0.04, tall - 0.9 * share - below)
        if not draw(panel, figure.add_axes(place), prometheus):
            empty.append(panel["title"])
    return empty


def main() -> None:
    """Draws every board."""
    url, scrape, span, boards, pictures = sys.argv[1:]
    mpl.use("agg")
    plt.style.use("dark_background")
    prometheus = Prometheus(url, int(scrape), int(span), int(time.time()))
    for path in sorted(Path(boards).glob("*.json")):
        empty = picture(json.loads(path.read_text(encoding="utf-8")), prometheus)
        plt.savefig(Path(pictures) / f"board-{path.stem}.png", dpi=72)
        plt.close()
        print(f"{path.stem}: {'every panel shows data' if not empty else 'nothing to show in ' + ', '.join(empty)}")


main()
