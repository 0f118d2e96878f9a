"""The page: whole, sound, and nothing but itself, whatever stands in the records."""

import base64
import gzip
import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.report.figures import LEAST, money
from awfproxy.report.html.script import SCRIPT
from awfproxy.report.html.tables import ROWS_MAX
from bench.report_records import lines
from tests.report.html.made import HOSTILE, Parsed, gathered, hostile, page_of, request, turn, usage, write

#: bytes that a page has at most
SIZE_MAX = 1024 * 1024
#: attributes that make a browser fetch or run something; `href` is looked at by itself
ACTIVE = {"src", "srcset", "style", "srcdoc", "action", "formaction", "data", "poster", "ping", "background", "xlink:href"}


def sound(text: str) -> Parsed:
    """Nothing in the page can fetch, run or restyle anything; all of it is closed in order."""
    found = Parsed(text)
    assert not found.unbalanced
    assert not found.others
    tags = [tag for tag, _ in found.elements]
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3", "p", "a", "div",
        "span", "b", "bdi", "small", "code", "dl", "dt", "dd", "ul", "ol", "li", "figure", "figcaption", "svg", "g", "rect",
        "line", "text", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "details", "summary", "script",
    }  # fmt: skip
    assert tags.count("script") == tags.count("style") == 1
    ids = [str(each["id"]) for _, each in found.elements if "id" in each]
    assert len(ids) == len(set(ids))
    for tag, attributes in found.elements:
        assert not set(attributes) & ACTIVE, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        if "href" in attributes:
            assert str(attributes["href"]).removeprefix("#") in ids
    assert len(text.encode()) < SIZE_MAX
    return found


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of four providers, with requests and turns."""
    folder = tmp_path_factory.mktemp("usual")
    (folder / "token-usage.jsonl.1.gz").write_bytes(gzip.compress(b"".join(lines(2_000, seed=4))))
    write(folder, "requests.jsonl", [
        *(request(number, duration_ms=10.0 * number, ttfb_ms=float(number)) for number in range(300)),
        *(request(number, outcome="refused", status=429, refusal_code="hard-cap-exceeded") for number in range(300, 330)),
    ])  # fmt: skip
    write(folder, "token-usage-by-turn.jsonl", map(turn, range(1, 9)))
    return folder


def test_the_usual_page(usual: Path) -> None:
    """Every section, and the figures of the other reports."""
    found = sound(page_of(usual))
    headings = found.within("h2")
    assert headings == [
        "What to do", "Over time", "Where", "Turns", "Cache", "Requests", "How sure the figures are", "Where this is from",
    ]  # fmt: skip
    overall = gathered(usual).usage.overall
    assert f"{money(overall.cost)}2,000 calls" in found.text
    assert "gpt-5-2025-08-07" in found.text
    assert "hard-cap-exceeded 30" in found.text
    assert "8 turns, 24 calls" in found.text
    assert "2026-05-31 to 2026-06-07, UTC" in found.text


@pytest.mark.parametrize("priced", [True, False])
def test_the_whole_of_a_saving_is_a_least_one_where_a_part_is_not_known(priced: bool, tmp_path: Path) -> None:
    """As in the headline, in dollars and in tokens; and no sign where all is known."""
    hints = {"tools_offered": [f"t{each}" for each in range(40)], "tools_hash": "a", "tools_bytes": 9_000, "messages": 1}
    known = [usage(number, run="nightly", hints=hints) for number in range(40)]
    path = write(tmp_path, "token-usage.jsonl", known)
    for more in ("", LEAST):
        (lead,) = (text for text in Parsed(page_of(path, money=priced)).within("p") if text.startswith("Together "))
        found = re.fullmatch(r"Together (\S+) of (≥?)(\S+)( tokens)? could be saved; nothing is counted twice.", lead)
        assert found is not None and found[2] == more
        assert found[1].startswith("$") == found[3].startswith("$") == priced
        path = write(tmp_path, "token-usage.jsonl", [*known, usage(40, input_tokens=None, unknown=["input_tokens"])])


def test_bad_requests_are_not_called_refused(tmp_path: Path) -> None:
    """The words are those of the outcomes, or both."""
    outcomes = ["complete", "refused", "refused", "bad_request", "upstream_cut"]
    path = write(tmp_path, "requests.jsonl", (request(number, outcome=each) for number, each in enumerate(outcomes)))
    text = Parsed(page_of(path, findings=False)).text
    assert "complete 1 (20.0%)" in text and "refused and bad requests 3 (60.0%)" in text
    assert "ended otherwise 1 (20.0%)" in text
    write(tmp_path, "requests.jsonl", (request(number, outcome=each) for number, each in enumerate(outcomes[:3])))
    text = Parsed(page_of(path, findings=False)).text
    assert "refused 2 (66.7%)" in text and "bad requests 2" not in text


def test_the_policy_allows_our_own_and_nothing_else(usual: Path) -> None:
    """Style and script by the hashes of what stands there, byte for byte; all else is forbidden."""
    found = Parsed(page_of(usual))
    policy = next(str(each["content"]) for each in found.named("meta") if each.get("http-equiv"))
    texts = {"style": "".join(found.within("style")), "script": "".join(found.within("script"))}
    assert texts["script"] == SCRIPT
    for tag, text in texts.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
        assert "</" not in text
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    # It stands before everything that it is to hold for.
    assert [tag for tag, _ in found.elements[:4]] == ["html", "head", "meta", "meta"]
    assert "http-equiv" in found.elements[3][1]


def test_plots_have_words_and_tables(usual: Path) -> None:
    """Who does not see a plot hears a sentence, and finds its figures."""
    found = Parsed(page_of(usual))
    for each in found.named("svg"):
        assert ("aria-label" in each and each["role"] == "img") or each["aria-hidden"] == "true"
    assert all(each.get("scope") in ("col", "row") for each in found.named("th"))
    assert next(iter(found.named("html")))["lang"] == "en"


def test_hostile_names(tmp_path: Path) -> None:
    """They show, as text, and are nothing else; long ones are cut."""
    found = sound(page_of(hostile(tmp_path), title=HOSTILE[1]))
    assert HOSTILE[0] in found.text
    assert "a\\u202eb\\u2066c\\u200dd\\x00e\\x1b[2Jf\\x0d\\x0ag" in found.text
    assert found.within("h1") == found.within("title")[:1] == [HOSTILE[1]]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", found.text)
    assert "x" * 200 not in found.text


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_any_names(names: list[str]) -> None:
    """Whatever JSON can hold."""
    with TemporaryDirectory() as folder:
        write(Path(folder), "token-usage.jsonl", [
            usage(number, model=name, run=name, user=name, port=name, provider=name, outcome=name)
            for number, name in enumerate(names)
        ])  # fmt: skip
        sound(page_of(Path(folder)))


def test_many_names(tmp_path: Path) -> None:
    """A table has so many rows, and one for all others; the page stays small."""
    write(tmp_path, "token-usage.jsonl", [
        usage(number, run=f"run-{number}", user="\u202e" * 300 + str(number), model=f"claude-{'<' * 300}{number}")
        for number in range(3_000)
    ])  # fmt: skip
    found = sound(page_of(tmp_path, findings=False))
    assert f"{3_000 - ROWS_MAX:,} more" in found.text


def test_without_money(usual: Path) -> None:
    """Tokens stand in the place of dollars, and no dollar anywhere."""
    found = sound(page_of(usual, money=False))
    assert "Nothing is said of money, as was asked for." in found.text
    assert "$" not in found.text


def test_without_prices(tmp_path: Path) -> None:
    """A model without a price costs an unknown sum, never nothing."""
    write(tmp_path, "token-usage.jsonl", [usage(number, model="nobody-knows", provider="generic") for number in range(3)])
    found = sound(page_of(tmp_path))
    assert "None of the models has a price." in found.text
    assert "$" not in found.text
    assert "nobody-knows" in found.text


def test_a_part_without_prices(tmp_path: Path) -> None:
    """The bill is a least one, and says what is not in it."""
    write(tmp_path, "token-usage.jsonl", [usage(1), usage(2, model="nobody-knows", provider="generic")])
    found = sound(page_of(tmp_path))
    assert "≥$0.0014" in found.text
    assert "Without 1 call of models that have no price." in found.text


def test_awf_records(tmp_path: Path) -> None:
    """The file of AWF's own api-proxy, which has fewer members, makes a page too."""
    names = ("timestamp", "request_id", "provider", "model", "input_tokens", "output_tokens", "cache_read_tokens",
             "cache_write_tokens", "status", "duration_ms")  # fmt: skip
    records = ({name: value for name, value in usage(number).items() if name in names} for number in range(20))
    found = sound(page_of(write(tmp_path, "token-usage.jsonl", records)))
    assert "no requests.jsonl was read" in found.text
    assert "20 calls" in found.text


def test_requests_alone(tmp_path: Path) -> None:
    """Without any usage: what is known of them."""
    found = sound(page_of(write(tmp_path, "requests.jsonl", map(request, range(20)))))
    assert "20 requests." in found.text
    assert "No times are known." in found.text


def test_no_times(tmp_path: Path) -> None:
    """Calls without a time count, and are in no plot of times."""
    found = sound(page_of(write(tmp_path, "token-usage.jsonl", [usage(1, timestamp="never"), usage(2, timestamp=None)])))
    assert "2 calls" in found.text
    assert "Over time" not in found.text


def test_unknown_figures_are_no_zeros(tmp_path: Path) -> None:
    """A model of which no call reports what is written to the cache: "?"."""
    records = [usage(number, unknown=["cache_write_tokens"], cache_write_tokens=0) for number in range(3)]
    page = page_of(write(tmp_path, "token-usage.jsonl", records))
    row = page[page.index('id="cache"') :]
    row = row[row.index("<tbody>") : row.index("</tbody>")]
    assert ">3,000<" in row
    assert ">?<" in row


def test_the_same_records_make_the_same_page(usual: Path) -> None:
    """Byte for byte."""
    assert page_of(usual) == page_of(usual)
