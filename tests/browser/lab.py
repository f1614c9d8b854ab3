"""JupyterLab in Chromium, as a person uses it: open a lesson, run it, type into a cell, read what comes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WHOLE_LESSON_S = 240
ONE_CELL_MS = 60_000

# Every cell in the page at once: JupyterLab otherwise draws only those near the viewport.
NO_WINDOWING = '{"windowingMode": "none"}'


@contextlib.contextmanager
def served(folder: Path, home: Path) -> Iterator[str]:
    """A JupyterLab server over the folder, with a home of its own; yields its address."""
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(NO_WINDOWING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / ".data"),
        "ATTNLAB_PROGRESS": str(home / "progress.json"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
               f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="]  # fmt: skip
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address, server, home / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api", timeout=2).read()
            return
        time.sleep(0.25)
    raise AssertionError(f"JupyterLab did not come up:\n{log.read_text()[-2000:]}")


class Notebook:
    """One lesson, open in JupyterLab."""

    def __init__(self, page: Page, address: str, path: str):
        self.page, self.complaints = page, []
        page.set_default_timeout(ONE_CELL_MS)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{address}/lab/tree/{path}?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self.wait_until_idle()

    def _listen(self, message: ConsoleMessage) -> None:
        # A new home has no saved workspace, and the server says so with a 404; that is JupyterLab's, not ours.
        if message.type == "error" and "404" not in message.text:
            self.complaints.append(message.text)

    def wait_until_idle(self, timeout: int = ONE_CELL_MS) -> None:
        self.page.locator('.jp-NotebookPanel [data-status="idle"]').first.wait_for(timeout=timeout)

    def menu(self, *entries: str) -> None:
        """Choose from the menu bar: ("Run", "Run All Cells")."""
        bar, *rest = entries
        self.page.locator(".lm-MenuBar-itemLabel", has_text=bar).first.click()
        for entry in rest:
            item = self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).last
            item.hover()
            if entry == rest[-1]:
                item.click()

    def run_all(self) -> None:
        """Run All from the menu, and wait until every code cell has its number."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputArea-prompt")
        self.page.locator(".jp-CodeCell .cm-content").first.click()  # the menu acts on the notebook that has the focus
        for _ in range(5):  # and on a busy machine its entry may not be alive yet
            self.menu("Run", "Run All Cells")
            self.page.wait_for_timeout(2_000)
            if any(text.strip() != "[ ]:" for text in prompts.all_inner_texts()):
                break
        stop = time.monotonic() + WHOLE_LESSON_S
        while any(text.strip() in ("[ ]:", "[*]:") for text in prompts.all_inner_texts()):
            assert not self.errors(), f"a cell failed: {self.errors()[0][-600:]}"
            assert time.monotonic() < stop, f"not done after {WHOLE_LESSON_S} s: {prompts.all_inner_texts()}"
            self.page.wait_for_timeout(500)

    def cell(self, source: str) -> Locator:
        """The code cell whose source contains the text."""
        return self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".jp-Editor", has_text=source)).first

    def write(self, cell: Locator, source: str) -> None:
        """Replace the cell's source, from the keyboard, and run it."""
        editor = cell.locator(".cm-content")
        editor.scroll_into_view_if_needed()
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        self.run(cell)

    def run(self, cell: Locator) -> None:
        """Run one cell with Shift-Enter, and wait for it."""
        cell.locator(".cm-content").click()
        before = cell.locator(".jp-InputArea-prompt").inner_text()
        self.page.keyboard.press("Shift+Enter")
        expect(cell.locator(".jp-InputArea-prompt")).not_to_have_text(before)
        expect(cell.locator(".jp-InputArea-prompt")).not_to_have_text("[*]:")

    def errors(self) -> list[str]:
        """The text of every output that is an error or went to stderr."""
        kinds = ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr")
        return [text for kind in kinds for text in self.page.locator(f'[data-mime-type="{kind}"]').all_inner_texts()]
