"""The page in a real browser, driven through Playwright.

    page.py judge URL         says what the page shows, line by line, as a test asks on standard input
    page.py pictures URL DIR  takes the pictures of the documentation: light, dark and narrow

Chromium is the system's own (CHROMIUM names another one); nothing is downloaded.
"""

import json
import os
import shutil
import sys
import urllib.request

from playwright.sync_api import Page, expect, sync_playwright

LIMIT_MS = 30_000
THIN_SPACE = "\u202f"
NAME_OF_FOCUSED = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"


def digits(text: str) -> int:
    """The number that is written with thin spaces."""
    return int("".join(c for c in text if c.isdigit()))


def figures(page: Page) -> dict:
    """What a reader sees: the cards by their title, the rows of models."""
    cards = {
        card.locator("h2").inner_text().lower(): digits(card.locator("b").inner_text())
        for card in page.locator(".card").all()
    }
    rows = {}
    for row in page.locator("#models tbody tr").all():
        name = row.locator("th").evaluate("th => th.firstChild.textContent")
        rows[name] = [digits(cell.inner_text()) for cell in row.locator("td").all()[:8]]
    return {"cards": cards, "models": rows, "status": page.locator("#status").inner_text()}


def judge(page: Page, url: str) -> None:
    """Answers one line of JSON for each line of standard input: what the page shows, once it is live."""
    wrong: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith(url) or outside.append(request.url))
    page.goto(url)
    for line in sys.stdin:
        match line.strip():
            case "figures":
                expect(page.locator("#feed")).to_have_text("live", timeout=LIMIT_MS)
                tokens = f"{totals(url):,}".replace(",", THIN_SPACE)
                expect(page.locator(".card b").first).to_have_text(tokens, timeout=LIMIT_MS)
                answer = figures(page)
            case "lost":
                expect(page.locator("#feed")).to_have_text("out of reach: the last figures stay", timeout=LIMIT_MS)
                answer = figures(page)
            case "faults":
                answer = {"wrong": wrong, "outside": outside}
            case "invitation":
                answer = invitation(page)
            case "keyboard":
                answer = {"focused": focused(page)}
            case other:
                raise SystemExit(f"{other}: there is no such question")
        print(json.dumps(answer), flush=True)


def invitation(page: Page) -> dict:
    """What an empty page shows to copy, and the widths at which something is wider than the window."""
    too_wide = []
    for width in (320, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(width)
    return {"commands": page.locator(".empty code").all_inner_texts(), "too_wide": too_wide}


def focused(page: Page) -> list[str]:
    """What the Tab key leads to, from the top on."""
    names = []
    for _ in range(6):
        page.keyboard.press("Tab")
        names.append(page.evaluate(NAME_OF_FOCUSED))
    return names


def totals(url: str) -> int:
    with urllib.request.urlopen(f"{url}/v1/usage", timeout=LIMIT_MS / 1000) as answer:
        return json.load(answer)["totals"]["total_tokens"]


def pictures(page: Page, url: str, folder: str) -> None:
    page.goto(url)
    expect(page.locator("#feed")).to_have_text("live", timeout=LIMIT_MS)
    for name, scheme, size in [
        ("page", "light", (1280, 1120)),
        ("page-dark", "dark", (1280, 1120)),
        ("page-narrow", "light", (420, 900)),
    ]:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{folder}/{name}.png")


def main() -> None:
    mode, url, *rest = sys.argv[1:]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        judge(page, url) if mode == "judge" else pictures(page, url, *rest)
        browser.close()


main()
