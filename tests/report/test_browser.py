"""The page in a real browser: no complaint on the console, filters and limits work, a hostile name stays text."""

from __future__ import annotations

import pytest

from harness.report.export import export
from tests.report.browser import CHROMIUM, Browser
from tests.report.synthetic import HOSTILE, judged, make_run, outcomes, two_losses
from tests.report.test_pages import hostile_outcomes

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def browser():
    with Browser() as found:
        yield found


def page(folder, found, header=None):
    path = folder / "report.html"
    path.write_text(export(make_run(folder / "run", found, header), "html"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return page(tmp_path_factory.mktemp("page"), outcomes(60))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return page(tmp_path_factory.mktemp("several"), two_losses())


def choose(browser, label: str, text: str) -> None:
    """Choose ``text`` in the filter called ``label``, as a user does."""
    browser.value(
        "(() => { const box = [...document.querySelectorAll('#filters label')]"
        f".find((l) => l.textContent.startsWith({label!r})).querySelector('select');"
        f"box.value = [...box.options].find((o) => o.textContent === {text!r}).value;"
        "box.dispatchEvent(new Event('change')); })()"
    )


def shown(browser, selector: str) -> int:
    return browser.value(f"[...document.querySelectorAll({selector!r})].filter((n) => n.checkVisibility()).length")


def test_the_page_draws_every_figure_and_complains_of_nothing(browser, usual):
    browser.window(1280, 900)
    browser.open(usual)
    assert browser.complaints() == []
    assert browser.value("document.documentElement.dataset.ready") is not None
    empty = browser.value(
        "[...document.querySelectorAll('[data-chart]')]"
        ".filter((n) => !n.querySelector('svg, table')).map((n) => n.dataset.chart)"
    )
    assert empty == []


def test_the_page_asks_for_nothing_but_itself(browser, usual):
    browser.open(usual)
    assert browser.requests() == [usual.resolve().as_uri()]


def test_filters_leave_what_matches_in_tables_tiles_and_charts(browser, usual):
    browser.open(usual)
    rows, panels = shown(browser, "#speed tbody tr"), shown(browser, "#accuracy .panel")
    total = browser.value("document.querySelector('#matrix td').title")
    choose(browser, "dtype", "bfloat16")
    assert 0 < shown(browser, "#speed tbody tr") < rows
    assert 0 < shown(browser, "#accuracy .panel") < panels
    assert browser.value("document.querySelector('#matrix td').title") != total
    texts = browser.value(
        "[...document.querySelectorAll('#speed tbody tr')]"
        ".filter((r) => r.checkVisibility()).map((r) => r.cells[1].textContent)"
    )
    assert set(texts) == {"bfloat16"}
    choose(browser, "dtype", "every dtype")
    assert shown(browser, "#speed tbody tr") == rows
    assert browser.complaints() == []


def test_accuracy_shows_one_regime_at_a_time_and_the_filter_decides_where_it_is_set(browser, usual):
    browser.open(usual)
    box = "document.getElementById('accuracy-regime')"
    assert browser.value(f"{box}.selectedOptions[0].textContent") == "normal"
    marks = "document.querySelectorAll('#accuracy svg.plot title').length"
    one = browser.value(marks)
    browser.value(f"{box}.value = 'every'; {box}.dispatchEvent(new Event('change'))")
    assert browser.value(marks) >= one > 0
    choose(browser, "regime", "confident")
    assert browser.value(f"{box}.selectedOptions[0].textContent") == "confident"
    assert browser.value(f"{box}.disabled")


def test_several_losses_stand_apart_and_can_be_filtered(browser, several):
    browser.window(1280, 900)
    browser.open(several)
    assert browser.complaints() == []
    titles = "[...document.querySelectorAll('#speed h3')].filter((n) => n.checkVisibility()).map((n) => n.textContent)"
    assert {title.split(" · ")[0] for title in browser.value(titles)} == {"cross_entropy", "mse_loss"}
    names = "[...document.querySelectorAll('#summary tbody th')].map((n) => n.textContent)"
    assert browser.value(names) == ["torch", "naive", "torch_mse", "mine_mse"]
    assert "mse_loss" in browser.value("document.querySelector('#choose').textContent")
    choose(browser, "loss", "mse_loss")
    assert {title.split(" · ")[0] for title in browser.value(titles)} == {"mse_loss"}
    assert "cross_entropy" not in browser.value("document.querySelector('#choose table').textContent")
    assert browser.complaints() == []


def test_limits_change_who_wins(browser, usual):
    browser.open(usual)
    names = "[...document.querySelectorAll('#choose tbody tr')].map((r) => r.cells[2].textContent)"
    before = browser.value(names)
    assert set(before) - {"none"}
    browser.value(
        "(() => { const box = document.getElementById('limit-memory'); box.value = '0.001';"
        "box.dispatchEvent(new Event('change')); })()"
    )
    assert "none" in browser.value(names)
    assert browser.value(names) != before


def test_figures_can_be_read_as_tables(browser, usual):
    browser.open(usual)
    browser.value("document.querySelector('#accuracy details').open = true")
    browser.value("new Promise(requestAnimationFrame)")
    rows = "document.querySelectorAll('#accuracy details tbody tr').length"
    for _ in range(50):
        if browser.value(rows):
            break
    assert browser.value(rows) > 10


def test_a_click_on_a_tile_opens_the_verdicts_behind_it(browser, usual):
    browser.open(usual)
    browser.value("document.querySelector('#matrix td.bad a').click()")
    for _ in range(50):
        if browser.value("document.querySelector('.verdicts').open"):
            break
    assert browser.value("document.querySelector('.verdicts').open")
    assert "python -m harness check" in browser.value("document.querySelector('.verdicts .command').textContent")


def test_hostile_text_stays_text(browser, tmp_path):
    found = [*outcomes(10), *hostile_outcomes(), judged(hostile_outcomes()[0].case, HOSTILE, "gradient")]
    header = {
        "suite": HOSTILE,
        "notes": [HOSTILE],
        "environment": {HOSTILE: HOSTILE},
        "selfcheck": {HOSTILE: {"reason": HOSTILE}},
    }
    browser.open(page(tmp_path, found, header))
    assert browser.complaints() == []
    assert browser.value("document.images.length") == 0
    assert browser.value("document.scripts.length") == 3
    assert browser.value("document.querySelector('#matrix').textContent.includes('<script>alert(1)')")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_the_width_and_its_text_can_be_read(browser, usual, width, dark):
    browser.window(width, 800, dark=dark)
    browser.open(usual)
    assert browser.value("document.documentElement.scrollWidth") <= width
    ground, ink = (
        browser.value(f"getComputedStyle(document.body).{name}").removeprefix("rgb(").rstrip(")").split(",")
        for name in ("backgroundColor", "color")
    )
    bright, faint = sorted((luminance(ground), luminance(ink)), reverse=True)
    assert (bright + 0.05) / (faint + 0.05) > 7
    assert (luminance(ground) < 0.1) == dark


def luminance(rgb: list[str]) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (int(v) / 255 for v in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_headings_tables_and_controls_are_marked_up_for_those_who_do_not_see(browser, usual):
    browser.open(usual)
    assert browser.value("document.querySelectorAll('h1').length") == 1
    assert browser.value("[...document.querySelectorAll('section')].every((s) => s.querySelector('h2'))")
    assert browser.value("[...document.querySelectorAll('svg[role=img]')].every((s) => s.getAttribute('aria-label'))")
    assert browser.value("[...document.querySelectorAll('th')].every((t) => t.scope)")
    assert browser.value("[...document.querySelectorAll('select, input')].every((c) => c.labels.length === 1)")


def test_a_run_of_nothing_is_a_page_without_complaints(browser, tmp_path):
    browser.open(page(tmp_path, [], {}))
    assert browser.complaints() == []
