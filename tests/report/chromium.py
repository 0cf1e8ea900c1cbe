"""A real headless Chromium, driven over a pipe by its own DevTools protocol: nothing but Python is needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
#: Seconds after which it is ended, so that a test waits for no answer that never comes.
_PATIENCE = 120

Message = dict[str, Any]


class Chromium:
    """A browser process. It reads requests from its file descriptor 3 and answers on 4, each ended by NUL."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        reads, self._requests = os.pipe()
        self._answers, writes = os.pipe()
        command = ["timeout", str(_PATIENCE), PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", *command],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        self._numbers = itertools.count(1)
        self._unread = b""
        self.events: list[Message] = []

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._requests)  # with its requests the browser ends
        self._process.wait(_PATIENCE)
        os.close(self._answers)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> Message:
        """Ask, and wait for the answer; events that come before it are kept."""
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: Message = answer["result"]
        return result

    def wait_for(self, event: str, session: str) -> None:
        """Wait until it has told of this event."""
        while not any(each["method"] == event and each.get("sessionId") == session for each in self.events):
            self.events.append(self._next())

    def _next(self) -> Message:
        while b"\0" not in self._unread:
            more = os.read(self._answers, 1 << 16)
            assert more, "Chromium has ended"
            self._unread += more
        text, _, self._unread = self._unread.partition(b"\0")
        found: Message = json.loads(text)
        return found


class Tab:
    """A page of its own: what it loads and complains of is listened to from before it is opened.

    Args:
        width: of the window, in CSS pixels.
        scheme: what the reader prefers, ``light`` or ``dark``.
    """

    def __init__(self, browser: Chromium, width: int = 1280, scheme: str = "light") -> None:
        self._browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self._session: str = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.prefer(scheme)

    def _send(self, method: str, **parameters: Any) -> Message:
        return self._browser.send(method, self._session, **parameters)

    def open(self, file: Path) -> None:
        """Load a file, until all that it asks for is there."""
        self._send("Page.bringToFront")  # behind another one it would get no input
        self._send("Page.navigate", url=file.resolve().as_uri())
        self._browser.wait_for("Page.loadEventFired", self._session)

    def prefer(self, scheme: str) -> None:
        """Let the reader prefer another scheme."""
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, expression: str) -> Any:
        """What a JavaScript expression, or a promise of one, comes to."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element that the CSS selector finds."""
        x, y = self.value(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.click_at(x, y)

    def click_at(self, x: float, y: float) -> None:
        """Click with the mouse at a place in the window, in CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self._settle()

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, such as ("Tab", 9) or ("Enter", 13, "\\r")."""
        for kind in ("keyDown", "keyUp"):
            self._send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )
        self._settle()

    def _settle(self) -> None:
        """Wait for the next frame: only with it does the page get its input."""
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self._send("Input.insertText", text=text)

    def screenshot(self) -> bytes:
        """The whole page, as PNG."""
        return base64.b64decode(self._send("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def _events(self, method: str) -> list[Message]:
        self._settle()  # what has happened by now is told by then
        events = self._browser.events
        return [
            each["params"]
            for each in events
            if (each.get("sessionId"), each["method"]) == (self._session, method)
        ]

    @property
    def complaints(self) -> list[Message]:
        """Errors and warnings: of the console, of scripts, and of the browser, of its security policy too."""
        told = [each["entry"] for each in self._events("Log.entryAdded")]
        said = [
            each for each in self._events("Runtime.consoleAPICalled") if each["type"] in ("error", "warning")
        ]
        return [*told, *said, *self._events("Runtime.exceptionThrown")]

    @property
    def requests(self) -> list[str]:
        """Every address that the page asked for; ``data:`` ones, which ask nobody, left out."""
        asked = [each["request"]["url"] for each in self._events("Network.requestWillBeSent")]
        return [address for address in asked if not address.startswith("data:")]
