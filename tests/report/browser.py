"""Chromium without a window, driven through its own protocol over a pipe: no driver, no port."""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Browser:
    """A page in Chromium; a context that ends the browser.

    Attributes:
        events: what the browser told, in order: console messages, requests, exceptions.
    """

    def __init__(self, profile: Path) -> None:
        down, up = os.pipe(), os.pipe()
        # The protocol is spoken over file descriptors 3 (to the browser) and 4 (from it).
        command = f'exec "$@" 3<&{down[0]} 4>&{up[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "-", PROGRAM, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(down[0], up[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down[0])
        os.close(up[1])
        self._to, self._from = os.fdopen(down[1], "wb"), os.fdopen(up[0], "rb")
        self._read: deque[bytes] = deque()
        self._begun, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._to.close()
        self._process.terminate()
        self._process.wait(timeout=30)
        self._from.close()

    def open(self, path: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of that size, and wait until it is loaded."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self._ask("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page; promises are awaited."""
        answer = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key, as from a keyboard."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self._ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **typed,
            )

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the page."""
        taken = self._ask("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(b64decode(taken["data"]))

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for, data: left out."""
        sent = [e["params"]["request"]["url"] for e in self._told("Network.requestWillBeSent")]
        return [url for url in sent if not url.startswith("data:")]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Console errors and warnings, uncaught exceptions, and what the browser logged."""
        console = self._told("Runtime.consoleAPICalled")
        return [
            *(event for event in console if event["params"]["type"] in ("error", "warning")),
            *self._told("Runtime.exceptionThrown"),
            *self._told("Log.entryAdded"),
        ]

    def _told(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] == method]

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _message(self) -> dict[str, Any]:
        while not self._read:
            part = self._from.read1(1 << 20)
            if not part:
                raise AssertionError("The browser has ended.")
            *whole, self._begun = (self._begun + part).split(b"\0")
            self._read.extend(whole)
        return json.loads(self._read.popleft())
