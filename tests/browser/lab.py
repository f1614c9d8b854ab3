"""JupyterLab and Notebook 7 in Chromium, as a person uses them: open, run, type into a cell, read what comes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Route, expect

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no name leads anywhere: the network is cut off
]
HERE = re.compile(r"^(https?://127\.0\.0\.1[:/]|data:|blob:|file:|about:)")
WHOLE_LESSON_S = 240
ONE_CELL_MS = 60_000

# Every cell in the page at once: JupyterLab otherwise draws only those near the viewport.
NO_WINDOWING = {"notebook-extension/tracker": {"windowingMode": "none"}}
# Dark where the system is dark, so that a browser context chooses the theme and leaves nothing behind.
SYSTEM_THEME = {"apputils-extension/themes": {"adaptive-theme": True}}
NO_NEWS = {"apputils-extension/notification": {"fetchNews": "false"}}


@contextlib.contextmanager
def served(
    folder: Path, home: Path, app: str = "jupyterlab", settings: Mapping[str, Any] = NO_WINDOWING
) -> Iterator[str]:
    """A server of JupyterLab or Notebook ("notebook") over the folder, with a home of its own; yields its address."""
    for name, values in settings.items():
        file = home / f".jupyter/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", app, "--no-browser", "--allow-root", f"--port={port}",
               f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="]  # fmt: skip
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment(home), stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address, server, home / "server.log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:  # it sometimes waits for a kernel that is gone
            server.kill()
            server.wait()


def environment(home: Path) -> dict[str, str]:
    """What the server and its kernels, or another command on the same notebooks, are started with."""
    return os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / ".data"),
        "ATTNLAB_PROGRESS": str(home / "progress.json"),
        "OMP_NUM_THREADS": "1",
    }


def cut_off(context: BrowserContext) -> list[str]:
    """Stop every request that would leave the machine; returns the list in which they are kept."""
    leaving: list[str] = []

    def stop(route: Route) -> None:
        leaving.append(route.request.url)
        route.abort()

    context.route(lambda address: not HERE.match(address), stop)
    return leaving


def _wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api", timeout=2).read()
            return
        time.sleep(0.25)
    raise AssertionError(f"The server did not come up:\n{log.read_text()[-2000:]}")


class Notebook:
    """One notebook, open in JupyterLab, or in Notebook 7 (place="notebooks")."""

    def __init__(self, page: Page, address: str, path: str, place: str = "lab/tree", kernel: bool = True):
        self.page, self.complaints = page, []
        page.set_default_timeout(ONE_CELL_MS)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{address}/{place}/{path}?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        if kernel:
            self.wait_until_idle()
        else:
            page.locator(".jp-Dialog").get_by_role("button", name="No Kernel").click()

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
