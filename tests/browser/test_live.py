"""The page over a real shim: an upload from 0 to done, a full spool, dead workers, a dead server."""

import os
import signal
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import until
from tests.support.client import Client, head
from tests.support.shim import Shim
from tests.support.stub import Stub

pytestmark = pytest.mark.servers

MIB = 1 << 20


def workers_of(shim: Shim) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split()]


def test_the_life_of_a_shim(visit, tmp_path):
    stored = threading.Event()
    settings = {"server.workers": 2, "spool.max_total": 8 * MIB, "limits.min_rate": 0}
    with Stub() as stub, Shim(tmp_path, {"upstream": stub.url, **settings}) as shim:
        page = visit(f"http://127.0.0.1:{shim.admin_port}/")
        expect(page.locator("#state")).to_have_text("Idle")
        expect(page.locator("#about")).to_contain_text("2 workers")
        watch_an_upload(page, shim, stub, stored)
        fill_the_spool(page, shim)
        lose_workers(page, shim)
        lose_the_server(page, stub)
        # Chromium complains of a connection that was lost, and of nothing else.
        visit.faults[:] = [fault for fault in visit.faults if "ERR_" not in fault]
    # It ended at once and without complaint, though somebody looked on.
    assert shim.complaints() == []
    assert "running task" not in shim.log_text()


def watch_an_upload(page, shim, stub, stored):
    def store(exchange):
        exchange.read_body()
        exchange.wait(stored)
        exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    stub.answer(store)
    row = page.locator("#upload-table tbody tr")
    with Client(("127.0.0.1", shim.port)) as client:
        client.send(head("PUT", "/v2/watched", f"Content-Length: {4 * MIB}"))
        expect(row).to_contain_text("0\u202f% of 4.0\u202fMiB")
        client.send(bytes(2 * MIB))
        expect(row).to_contain_text("50\u202f% of 4.0\u202fMiB")
        expect(row).to_contain_text("receiving")
        expect(page.locator("#state")).to_have_text("Busy")
        client.send(bytes(2 * MIB))
        expect(row).to_contain_text("4.0\u202fMiB, all here")
        expect(row).to_contain_text("being stored")
        stored.set()
        assert client.answer().status == 204
        expect(row).to_have_count(0)
        expect(page.get_by_text("No upload is under way.")).to_be_visible()


def fill_the_spool(page, shim):
    with Client(("127.0.0.1", shim.port)) as client:
        client.send(head("PUT", "/v2/large", f"Content-Length: {8 * MIB - 1}"), bytes(MIB))
        expect(page.locator("#gauge")).to_have_attribute("data-level", "bad")
        expect(page.locator("#state")).to_have_text("Full")
        expect(page.locator("#notices")).to_contain_text("The spool is full")
        with Client(("127.0.0.1", shim.port)) as other:
            other.send(head("PUT", "/v2/other", f"Content-Length: {MIB}"))
            assert other.answer("PUT").status == 503
        expect(page.locator("#refusal-table tbody tr").first).to_contain_text("spool_full")
        expect(page.locator("#hour")).to_have_text("1")


def lose_workers(page, shim):
    """All at once: whichever has the page's events is among them."""
    page.evaluate("lost = 0; lose = feed.listener.lost; 0")
    page.evaluate("feed.listener.lost = (...told) => { lost++; lose(...told); }; 0")
    for pid in workers_of(shim):
        os.kill(pid, signal.SIGKILL)
    until(page, "lost > 0")
    expect(page.locator("#about")).to_contain_text("2 workers")
    # What was refused before is still known: the files of the dead are read.
    expect(page.locator("#refusal-table tbody tr").first).to_contain_text("spool_full")


def lose_the_server(page, stub):
    expect(page.locator("#server-table .up")).to_have_count(1)
    stub.close()
    expect(page.locator("#server-table .down")).to_have_count(1)
    expect(page.locator("#state")).to_have_text("Not ready")
    expect(page.locator("#notices")).to_contain_text("No server of upstream default is up")
