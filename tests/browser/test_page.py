"""The page over scenes: a thousand uploads, hostile names, a keyboard, a phone, a screen reader's rules."""

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from shim.app.page import SCRIPTS
from tests.browser import scenes
from tests.browser.browsing import until
from tests.browser.theatre import staged

pytestmark = pytest.mark.servers

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
TOKEN = "a-token-of-some-length"
ROWS = "#upload-table tbody tr"


@pytest.fixture(scope="module")
def stage():
    with staged() as stage:
        yield stage


def test_a_thousand_uploads(stage, visit):
    stage.play(replace(scenes.BUSY, uploads=scenes.many_uploads(1000)))
    page = visit(stage.url, viewport=DESK)
    expect(page.locator("#count")).to_have_text("1,000")
    expect(page.locator(ROWS)).to_have_count(100)
    expect(page.locator("#shown")).to_have_text("100 of 1,000 shown")
    # The rows stay the same elements, whatever comes: what is selected or read aloud stays where it is.
    page.evaluate("first = document.querySelector('#upload-table tbody tr'); seen = first.textContent")
    until(page, "first.isConnected && first.textContent !== seen")
    page.get_by_role("button", name="Show 100 more").click()
    expect(page.locator(ROWS)).to_have_count(200)
    page.get_by_role("button", name="Rate").click()
    expect(page.locator("th[data-sort=rate]")).to_have_attribute("aria-sort", "descending")
    wanted = scenes.upload(432, 0, length=None, rate=1, age=1)
    page.get_by_label("Search uploads").fill(f"{str(wanted['image'])[:12].upper()} put")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(ROWS)).to_contain_text(str(wanted["image"]))
    page.get_by_label("Search uploads").fill("nothing is called so")
    expect(page.get_by_text("No upload matches the search.")).to_be_visible()


def test_names_are_text_and_nothing_else(stage, visit):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"
    named = scenes.upload(1, 0, length=100, rate=1, age=1) | {
        "path": evil,
        "project": evil,
        "image": "",
        "method": evil,
    }
    down = replace(scenes.server(), health=replace(scenes.DOWN, reason=evil))
    stage.play(replace(scenes.BROKEN, uploads=lambda _now: [named], servers=[down]))
    page = visit(stage.url)
    # For up to a second the page shows what was played before, which may be a hundred rows.
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(ROWS)).to_contain_text(evil)
    expect(page.locator("#server-table")).to_contain_text(evil)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == len(SCRIPTS)


def test_with_the_keyboard_alone(stage, visit):
    stage.play(scenes.BUSY)
    page = visit(stage.url, viewport=DESK)
    expect(page.locator(ROWS)).to_have_count(9)
    walked = []
    for _ in range(9):
        page.keyboard.press("Tab")
        walked.append(
            page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()")
        )
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", f"{walked[-1]}: its focus cannot be seen"
    assert walked == [
        "Skip to the uploads",
        "Pause",
        "search",
        "Upload",
        "Project",
        "Phase",
        "Progress",
        "Rate",
        "Age",
    ]
    page.keyboard.press("Enter")
    expect(page.locator("th[data-sort=age]")).to_have_attribute("aria-sort", "ascending")
    page.locator("#pause").press("Space")
    expect(page.locator("#state")).to_have_text("Paused")
    page.locator("#pause").press("Space")
    expect(page.locator("#state")).to_have_text("Busy")


def test_what_is_told_aloud(stage, visit):
    stage.play(scenes.IDLE)
    page = visit(stage.url)
    expect(page.locator("#announcement")).to_have_text("Idle")
    page.evaluate(
        "told = []; new MutationObserver(() => told.push(announcement.textContent))"
        ".observe(announcement = document.getElementById('announcement'), { childList: true })"
    )
    stage.play(scenes.FULL)
    expect(page.locator("#announcement")).to_contain_text("The spool is full. Large uploads are refused")
    page.evaluate(
        "taken = 0; feed.take = (take => event => { taken++; take.call(feed, event); })(feed.take); 0"
    )
    until(page, "taken >= 3")
    # The state and the notice, once, however many numbers have changed since.
    assert page.evaluate("told.length") <= 2


@pytest.mark.parametrize(
    ("size", "colours", "played"),
    [(DESK, "light", ["busy", "broken"]), (PHONE, "dark", ["full", "idle"])],
    ids=["desk", "phone"],
)
def test_rules_of_accessibility_and_width(stage, visit, size, colours, played):
    stage.play(scenes.IDLE)
    page = visit(stage.url, viewport=size, color_scheme=colours, reduced_motion="reduce")
    for name in played:
        stage.play(getattr(scenes, name.upper()))
        expect(page.locator("body")).to_have_attribute("data-state", name)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert page.evaluate("getComputedStyle(document.querySelector('.dot')).animationName") == "none"


def test_a_token_is_asked_for(visit):
    with staged(scenes.IDLE, TOKEN) as stage:
        page = visit(stage.url)
        expect(page.get_by_label("This shim asks for a token")).to_be_focused()
        expect(page.locator("#state")).to_have_text("Locked")
        page.get_by_label("This shim asks for a token").fill("wrong")
        page.get_by_role("button", name="Show the status").click()
        expect(page.get_by_text("That token is not the right one.")).to_be_visible()
        page.get_by_label("This shim asks for a token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("Idle")
        other = visit(f"{stage.url}#token={TOKEN}")
        expect(other.locator("#state")).to_have_text("Idle")
        assert other.url == stage.url
        # Chromium writes each 401 to the console; nothing else may be there.
        refusals = [fault for fault in visit.faults if "401" in fault]
        assert len(refusals) == 2
        visit.faults[:] = [fault for fault in visit.faults if fault not in refusals]


def test_an_upload_is_cancelled(visit):
    with staged(scenes.BUSY, TOKEN) as stage:
        page = visit(f"{stage.url}#token={TOKEN}", viewport=PHONE)
        first, second = (page.locator(ROWS).nth(place) for place in (0, 1))
        first.get_by_role("button", name="Cancel the upload").click()
        dialog = page.get_by_role("dialog", name="Cancel this upload?")
        expect(dialog).to_contain_text(str(scenes.upload(1, 0, length=1, rate=1, age=1)["image"]))
        # The harmless answer has the focus; Escape is one too.
        expect(page.get_by_role("button", name="Keep it")).to_be_focused()
        assert Axe().run(page).violations_count == 0
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        assert stage.cancelled == []
        first.get_by_role("button", name="Cancel the upload").click()
        dialog.get_by_role("button", name="Cancel the upload").click()
        expect(dialog).to_be_hidden()
        second.get_by_role("button", name="Cancel the upload").click()
        dialog.get_by_role("button", name="Cancel the upload").click()
        expect(dialog).to_contain_text("no such upload is under way")
        assert stage.cancelled == [(1, "address 127.0.0.1"), (2, "address 127.0.0.1")]
        visit.faults[:] = [fault for fault in visit.faults if "404" not in fault]


def test_a_code_leads_to_its_help(stage, visit):
    stage.play(scenes.BUSY)
    page = visit(stage.url)
    page.get_by_role("link", name="body_idle_timeout").click()
    expect(page.get_by_role("heading", name="body_idle_timeout")).to_be_visible()
    with staged(scenes.BUSY, TOKEN) as guarded:
        page = visit(f"{guarded.url}#token={TOKEN}")
        expect(page.locator("#refusal-table code").first).to_be_visible()
        # A link takes no token along.
        expect(page.locator("#refusal-table a")).to_have_count(0)


def test_an_idle_shim_has_nothing_to_sort(stage, visit):
    stage.play(scenes.IDLE)
    page = visit(stage.url, viewport=PHONE)
    expect(page.locator("#none")).to_be_visible()
    expect(page.locator("#upload-table")).to_be_hidden()


def test_without_a_token_no_end_is_offered(stage, visit):
    stage.play(scenes.BUSY)
    page = visit(stage.url)
    expect(page.locator(ROWS)).to_have_count(9)
    expect(page.get_by_role("button", name="Cancel the upload").first).to_be_hidden()


UNITS = {
    "bytes(0)": "0 B",
    "bytes(1023)": "1023 B",
    "bytes(1536)": "1.5 KiB",
    "bytes(102400)": "100 KiB",
    "bytes(2 ** 50)": "1024 TiB",
    "rate(5 * 2 ** 20)": "5.0 MiB/s",
    "duration(59.9)": "59 s",
    "duration(61)": "1 min 01 s",
    "duration(7262)": "2 h 01 min",
    "duration(90000)": "1 d 1 h",
    "duration(-3)": "0 s",
    "count(1234567)": "1,234,567",
    "percent(0.999)": "99",
    "percent(1.5)": "100",
}


def test_numbers_for_people(stage, visit):
    page = visit(stage.url)
    told = page.evaluate(f"[{', '.join(UNITS)}]")
    assert [str(text).replace("\u202f", " ") for text in told] == list(UNITS.values())
