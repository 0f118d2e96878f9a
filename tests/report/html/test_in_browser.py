"""The page in a real browser: it complains of nothing, asks for nothing, fits, prints, and shows what is touched."""

from collections.abc import Iterator

import pytest

from bench.report_records import lines
from tests.report.html.browser import CHROMIUM, Browser
from tests.report.html.made import hostile, page_of, request, turn, write

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")

WIDTHS = (320, 390, 768, 1280)
#: what hangs out of the window, if it cannot be scrolled into it by itself
HANGING = """[...document.querySelectorAll("main *")].filter(each => !each.closest(".scroll, svg, .tip")
  && each.getBoundingClientRect().right > innerWidth + 0.5).map(each => each.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all pages."""
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of a week is."""
    folder = tmp_path_factory.mktemp("usual")
    (folder / "token-usage.jsonl").write_bytes(b"".join(lines(1_000, seed=4)))
    write(folder, "requests.jsonl", [request(number, duration_ms=10.0 * number) for number in range(200)])
    write(folder, "token-usage-by-turn.jsonl", map(turn, range(1, 9)))
    path = folder / "page.html"
    path.write_text(page_of(folder))
    return path.as_uri()


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of hostile names is."""
    folder = hostile(tmp_path_factory.mktemp("evil"))
    path = folder / "page.html"
    path.write_text(page_of(folder))
    return path.as_uri()


def quiet(browser: Browser, url: str) -> None:
    """Nothing went wrong, and nothing but the page was asked for."""
    assert browser.complaints() == []
    assert browser.requested() == [url]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["usual", "evil"])
def test_it_fits(browser: Browser, usual: str, evil: str, width: int, kind: str) -> None:
    """No width has to be scrolled, also with everything open."""
    url = {"usual": usual, "evil": evil}[kind]
    browser.open(url, width, dark=width == 390)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(HANGING) == []
    quiet(browser, url)


def test_hostile_names_do_nothing(browser: Browser, evil: str) -> None:
    """No element is there that is not ours, also after everything was touched, sorted and printed."""
    browser.open(evil)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    browser.value("document.querySelectorAll('th button').forEach(each => each.click())")
    browser.value("""document.querySelectorAll("svg.plot .hit").forEach(each => each.dispatchEvent(
        new PointerEvent("pointermove", {bubbles: true, clientX: 200, clientY: 200})))""")
    assert browser.printed().startswith(b"%PDF-")
    assert browser.value("document.querySelectorAll('img, iframe, object, embed, link, base, form, video').length") == 0
    assert browser.value("document.scripts.length") == 1
    quiet(browser, evil)


def test_the_policy_holds(browser: Browser, usual: str) -> None:
    """Even if markup came through: no script, no style, no picture, no request."""
    browser.open(usual)
    browser.value("""document.body.insertAdjacentHTML("beforeend",
        "<img src='https://evil.example/x.png' onerror='window.broken = 1'><p style='color:red' id=p>x</p>")""")
    browser.value("""(() => { const script = document.createElement("script");
        script.textContent = "window.broken = 1"; document.body.append(script); })()""")
    browser.value("fetch('https://evil.example/').catch(() => {})")
    assert browser.value("window.broken") is None
    assert browser.value("getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert browser.requested() == [usual]
    assert browser.complaints()


def test_what_is_touched(browser: Browser, usual: str) -> None:
    """A column tells its figures, one a line; elsewhere nothing is told."""
    browser.open(usual)
    # The page hides what it told when it is scrolled: let that be over.
    browser.value("document.querySelector('svg.plot').scrollIntoView()")
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    at = browser.value("""(() => { const plot = document.querySelector("svg.plot");
        const box = plot.querySelectorAll(".hit")[5].getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; })()""")
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=at[1])
    told = browser.value("document.querySelector('.tip').innerText").split("\n")
    assert told[0].startswith("2026-06-0")
    assert "$" in told[0]
    assert len(told) > 3
    box = browser.value("document.querySelector('.tip').getBoundingClientRect().toJSON()")
    assert box["left"] >= 0
    assert box["right"] <= 1280
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    assert browser.value("document.querySelector('.tip').hidden")
    quiet(browser, usual)


def test_tables_are_sorted(browser: Browser, usual: str) -> None:
    """By what a column's figures are, not by how they are written; largest first, then least."""
    browser.open(usual)
    cells = """[...document.querySelectorAll("#where table.sorts")[0].tBodies[0].rows].map(row => row.cells[3].innerText)"""
    click = """document.querySelectorAll("#where table.sorts")[0].querySelectorAll("th button")[3].click()"""
    counts = [int(each.replace(",", "")) for each in browser.value(cells)]
    for backwards in (True, False):
        browser.value(click)
        found = [int(each.replace(",", "")) for each in browser.value(cells)]
        assert found == sorted(counts, reverse=backwards)
    quiet(browser, usual)


def test_without_scripts(browser: Browser, usual: str) -> None:
    """It is whole: plots, tables, details; nothing is there that would do nothing."""
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(usual)
        assert browser.value("document.querySelectorAll('button, .tip').length") == 0
        assert browser.value("document.querySelectorAll('svg.plot .column title').length") > 10
        assert browser.value("document.querySelector('.bill').innerText").startswith("$")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_on_paper(browser: Browser, usual: str) -> None:
    """Dark letters on white, also for people who like it dark; a few pages."""
    browser.open(usual, media="print", dark=True)
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(20, 24, 31)"
    browser.ask("Emulation.setEmulatedMedia", media="")
    document = browser.printed()
    assert 2 <= document.count(b"/Type /Page\n") + document.count(b"/Type /Page>") + document.count(b"/Type /Page /") <= 14


def test_light_and_dark(browser: Browser, usual: str) -> None:
    """As the reader's system has it."""
    browser.open(usual, dark=True)
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
    browser.open(usual)
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
