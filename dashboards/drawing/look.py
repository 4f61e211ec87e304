"""How numbers and names look: Grafana's units, its names of colours, and a colour for each name."""

import time
import zlib

NAMED = {
    "green": "#73bf69",
    "light-blue": "#8ab8ff",
    "blue": "#5794f2",
    "semi-dark-blue": "#3274d9",
    "dark-blue": "#1f60c4",
    "orange": "#ff9830",
    "yellow": "#fade2a",
    "red": "#f2495c",
    "dark-red": "#c4162a",
    "purple": "#b877d9",
    "dark-purple": "#8f3bb8",
}
PALETTE = [
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"),
    *("#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477", "#b7dbab", "#f4d598", "#70dbed", "#f9ba8f"),
    *("#f29191", "#82b5d8", "#e5a8e2", "#aea2e0", "#629e51", "#e5ac0e", "#64b0c8", "#e0752d", "#bf1b00"),
]


def colour(name: str, panel: dict) -> str:
    """The colour of a series: fixed by the panel, or else by its name alone."""
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": name}:
            for one in override["properties"]:
                if one["id"] == "color":
                    return NAMED[one["value"]["fixedColor"]]
    return PALETTE[zlib.crc32(name.encode()) % len(PALETTE)]


def threshold(value: float, thresholds: dict | None) -> str:
    """The colour of the highest step that a value reaches."""
    found = "#d8d9da"
    for step in (thresholds or {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            found = NAMED[step["color"]]
    return found


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A number in a unit of Grafana."""
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "currencyUSD":
            return f"${value:.4g}"
        case "s":
            return _duration(value)
        case "bytes":
            return _scaled(value, 1024, ["B", "KiB", "MiB", "GiB"])
        case "Bps":
            return _scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s"])
        case "dateTimeFromNow":
            return f"in {_duration(value / 1000 - time.time())}"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return _scaled(value, 1000, ["", "K", "Mil", "Bil"])


def _duration(seconds: float) -> str:
    steps = [(1e-3, 1e-6, "µs"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")]
    for below, size, name in steps:
        if abs(seconds) < below:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds / 86400:.3g} d"


def _scaled(value: float, factor: int, names: list[str]) -> str:
    for name in names:
        if abs(value) < factor or name == names[-1]:
            break
        value /= factor
    return f"{value:.3g} {name}".strip()
