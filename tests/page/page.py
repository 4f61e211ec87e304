"""The page in a real browser, driven through Playwright.

    page.py judge URL         says what the page shows, line by line, as a test asks on standard input
    page.py pictures URL DIR  takes the pictures of the documentation: light, dark and narrow

Chromium is the system's own (CHROMIUM names another one); nothing is downloaded.
"""

import json
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

LIMIT_MS = 30_000
THIN_SPACE = "\u202f"
NAME_OF_FOCUSED = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
FIGURES = ("Calls", "Input", "Cache read", "Cache write", "Tool input", "Output", "Thinking", "Total")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
# Sizes of windows: of a phone held upright, a laptop, a screen, and a large one.
SIZES = [(320, 800), (1280, 800), (1920, 1080), (2560, 1440)]

# The elements that are shown in a colour although they are in no part that is drawn in grey.
COLOURED = """() => {
  const grey = colour => { const [r, g, b] = colour.match(/[0-9.]+/g).map(Number); return Math.max(r, g, b) - Math.min(r, g, b) < 16; };
  const shown = element => element.checkVisibility() && !element.closest('main > :not(#gone), header svg');
  const drawn = [...document.querySelectorAll('main > :not(#gone), header svg')];
  const alive = drawn.filter(part => !getComputedStyle(part).filter.includes('grayscale(1)')).map(part => part.className.toString() || part.id);
  const coloured = [...document.body.querySelectorAll('*')].filter(shown).filter(element => {
    const style = getComputedStyle(element);
    return !grey(style.color) || !grey(style.backgroundColor) || !grey(style.borderColor);
  });
  return [...alive, ...coloured.map(element => element.outerHTML.slice(0, 80))];
}"""

# What a reader of that window cannot see without scrolling sideways, or not at all.
OUT_OF_SIGHT = """() => {
  const cut = [];
  const whole = document.documentElement;
  if (whole.scrollWidth > whole.clientWidth) cut.push('the page is wider than the window');
  for (const cell of document.querySelectorAll('td')) {
    const box = cell.closest('.scroll').getBoundingClientRect(), at = cell.getBoundingClientRect();
    const matters = innerWidth < 500 || cell.dataset.label === 'Share';
    const name = cell.closest('tr').querySelector('th').getBoundingClientRect();
    const covered = name.left < at.right - 1 && name.right > at.left + 1 && name.top < at.bottom - 1 && name.bottom > at.top + 1;
    if (matters && (at.left < box.left - 1 || at.right > box.right + 1 || cell.scrollWidth > cell.clientWidth + 1 || covered || at.width === 0))
      cut.push(`${cell.closest('.scroll').ariaLabel}: ${cell.dataset.label} ${cell.textContent}`);
  }
  for (const figure of document.querySelectorAll('.card b, .card dd, .bars li > span'))
    if (figure.scrollWidth > figure.clientWidth + 1 || figure.getBoundingClientRect().right > innerWidth) cut.push(figure.textContent);
  return cut;
}"""

# How the sections are arranged, and how many rows of each table are in sight.
ARRANGEMENT = """() => {
  const shown = [...document.querySelectorAll('main section:not(:empty)')];
  const isWhole = (row, box) => row.getBoundingClientRect().bottom <= box.getBoundingClientRect().bottom + 1;
  const rows = table => [...table.querySelectorAll('tbody tr')].filter(row => isWhole(row, table.closest('.scroll'))).length;
  return {
    rows: Object.fromEntries([...document.querySelectorAll('main table')].map(table => [table.closest('section').id, rows(table)])),
    columns: new Set([...document.querySelectorAll('.column')].map(column => Math.round(column.getBoundingClientRect().left))).size,
    below: shown.filter(section => section.getBoundingClientRect().bottom > innerHeight).map(section => section.id),
  };
}"""


def digits(text: str) -> int:
    """The number that is written with thin spaces."""
    return int("".join(c for c in text if c.isdigit()))


def figures(page: Page) -> dict:
    """What a reader sees: the cards by their title with what they say of days, the rows of models."""
    cards, days = {}, {}
    for card in page.locator(".card").all():
        title = card.locator("h2").inner_text().lower()
        cards[title] = digits(card.locator("b").inner_text())
        days[title] = dict(zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True))
    rows = {}
    for row in page.locator("#models tbody tr").all():
        name = row.locator("th").evaluate("th => th.querySelector('.key').nextSibling.textContent")
        cells = {cell.get_attribute("data-label"): cell.inner_text() for cell in row.locator("td").all()}
        rows[name] = [digits(cells[figure]) for figure in FIGURES]
    return {"cards": cards, "days": days, "models": rows, "status": page.locator("#status").inner_text()}


def live_figures(page: Page, url: str) -> dict:
    """The figures once they are those of the interface."""
    expect(page.locator("#feed")).to_have_text("live", timeout=LIMIT_MS)
    tokens = f"{totals(url):,}".replace(",", THIN_SPACE)
    expect(page.locator(".card b").first).to_have_text(tokens, timeout=LIMIT_MS)
    # The sums of days are read a moment later.
    expect(page.locator(".card").first.locator("dd").last).to_have_text(tokens, timeout=LIMIT_MS)
    return figures(page)


def lost(page: Page) -> dict:
    """What an open page shows once the program is gone."""
    expect(page.locator("#feed")).to_have_text("out of reach", timeout=LIMIT_MS)
    shown = figures(page)
    words = {"says": page.locator("#gone").inner_text(), "title": page.title(), "ready": page.locator(".pill").is_visible()}
    return {**shown, **words, "coloured": page.evaluate(COLOURED)}


def sight(page: Page) -> dict:
    """What is out of sight in each size of window, and how the sections are arranged in it."""
    answer = {}
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        answer[str(width)] = {"out": page.evaluate(OUT_OF_SIGHT), **page.evaluate(ARRANGEMENT)}
    return answer


def crowded(page: Page) -> dict:
    """The same once every section has something, and the lists have many rows."""
    for section in ("#budgets", "#quotas", "#rules"):
        expect(page.locator(section)).not_to_be_empty(timeout=LIMIT_MS)
    for section in ("#cascades", "#calls"):
        expect(page.locator(f"{section} tbody tr").nth(7)).to_be_attached(timeout=LIMIT_MS)
    page.locator("#pause").click()
    return sight(page)


def violations(page: Page) -> list[str]:
    """What axe-core finds, in both themes and two widths, with the page still, and shown as it is when nothing comes."""
    found = []
    for scheme in ("light", "dark"):
        for width in (320, 1920):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 1080})
            options = {"runOnly": RULES, "resultTypes": ["violations"]}
            for rule in Axe().run(page, options=options).response["violations"]:
                nodes = [f"{node['target']}: {node['failureSummary']}" for node in rule["nodes"][:3]]
                found.append(f"{scheme}, {width}: {rule['id']}: {nodes}")
    page.emulate_media(color_scheme="light")
    return found


def moments(page: Page) -> dict:
    """What the chart says of a moment: to a mouse, and to a keyboard."""
    page.set_viewport_size({"width": 1280, "height": 800})
    plot, reading = page.locator(".plot"), page.locator(".reading")
    expect(plot).to_be_visible(timeout=LIMIT_MS)
    hint = reading.inner_text()
    plot.hover()
    expect(reading).not_to_have_text(hint)
    answer = {"hint": hint, "mouse": reading.inner_text(), "legend": page.locator(".legend .name").all_inner_texts()}
    # The chart that the mouse leaves is another one than that which it came to.
    page.wait_for_function("old => document.querySelector('.plot') !== old", arg=plot.element_handle())
    page.mouse.move(0, 0)
    expect(reading).to_have_text(hint)
    plot.focus()
    page.keyboard.press("Home")
    expect(reading).not_to_have_text(hint)
    answer["first"] = reading.inner_text()
    page.keyboard.press("ArrowRight")
    expect(reading).not_to_have_text(answer["first"])
    # A screen reader says the same.
    answer["second"], answer["spoken"] = reading.inner_text(), plot.get_attribute("aria-valuetext")
    page.keyboard.press("Escape")
    expect(reading).to_have_text(hint)
    return answer


def marks(page: Page) -> dict:
    """The colour and pattern of each model wherever it has one, by its name."""
    found: dict[str, set[str]] = {}
    places = [("#models th", "th => th.querySelector('.key').nextSibling.textContent"), (".legend li", "li => li.querySelector('.name').textContent")]
    for place, name in places:
        for element in page.locator(place).all():
            if element.locator(".key").count():
                found.setdefault(element.evaluate(name), set()).add(element.locator(".key").get_attribute("class") or "")
    return {name: sorted(classes) for name, classes in found.items()}


def pages(page: Page, url: str) -> dict:
    """Where the links of the first call and of its conversation lead, and what axe-core finds there."""
    answer = {}
    for kind, link in [("call", "#calls tbody th > a"), ("conversation", "#cascades tbody th > a")]:
        page.goto(url)
        expect(page.locator("#feed")).to_have_text("live", timeout=LIMIT_MS)
        # Before the first news, times are those of a reader whose zone is not known.
        expect(page.locator("#calls")).not_to_contain_text("UTC", timeout=LIMIT_MS)
        expect(page.locator("#cascades")).not_to_contain_text("UTC", timeout=LIMIT_MS)
        name = page.locator(link).first.inner_text()
        page.locator(link).first.click()
        page.wait_for_url(re.compile(f"/{kind}s/"))
        json_path = page.get_by_text("the same as JSON").get_attribute("href")
        answer[kind] = {"name": name, "title": page.locator("h2.title").inner_text(), "json": json_path, "wrong": violations(page)}
        answer[kind]["out"] = [said for size in sight_of_details(page) for said in size]
    page.goto(url)
    return answer


def sight_of_details(page: Page) -> list[list[str]]:
    """What is out of sight on the page of one thing, in each size of window."""
    seen = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        seen.append(page.evaluate(OUT_OF_SIGHT))
    return seen


def judge(page: Page, url: str) -> None:
    """Answers one line of JSON for each line of standard input: what the page shows, once it is live."""
    wrong: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith(url) or outside.append(request.url))
    page.goto(url)
    questions: dict[str, Callable[[], object]] = {
        "figures": lambda: live_figures(page, url),
        "lost": lambda: lost(page),
        "faults": lambda: {"wrong": wrong, "outside": outside},
        "invitation": lambda: invitation(page),
        "keyboard": lambda: {"focused": focused(page)},
        "sight": lambda: sight(page),
        "crowded": lambda: crowded(page),
        "violations": lambda: violations(page),
        "moments": lambda: moments(page),
        "marks": lambda: marks(page),
        "pages": lambda: pages(page, url),
        "titles": lambda: page.locator("thead th").all_text_contents(),
    }
    for line in sys.stdin:
        question = questions.get(line.strip())
        if question is None:
            raise SystemExit(f"{line.strip()}: there is no such question")
        print(json.dumps(question()), flush=True)


def invitation(page: Page) -> dict:
    """What an empty page shows to copy, and the widths at which something is wider than the window."""
    too_wide = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(width)
    return {"commands": page.locator(".empty code").all_inner_texts(), "too_wide": too_wide}


def focused(page: Page) -> list[str]:
    """What the Tab key leads to, from the top on."""
    names = []
    for _ in range(8):
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
        # A zone that this machine does not have: the page follows its reader.
        page = browser.new_page(timezone_id="Europe/Berlin")
        judge(page, url) if mode == "judge" else pictures(page, url, *rest)
        browser.close()


main()
