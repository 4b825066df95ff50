"""A real headless Chromium for the tests of pages, where the machine has one."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
CONSOLE = {"browser": "ALL"}


def missing() -> str | None:
    """Why there can be no browser here; None when there can."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed (make test installs it)"
    if _chromium() is None:
        return "no Chromium here (Debian: apt-get install chromium chromium-driver)"
    return None if shutil.which("chromedriver") else "no chromedriver here (Debian: apt-get install chromium-driver)"


def _chromium() -> str | None:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (str(MAC) if MAC.exists() else None)


@contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """A driver of a fresh headless browser that can't reach any network; quits it at the end."""
    if reason := missing():
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _chromium() or ""
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}",
        "--proxy-server=127.0.0.1:9", "--disable-background-networking", "--no-first-run",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", CONSOLE)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def opened(driver: Any, page: Path, address: str = "#/") -> Any:
    """Load a page anew at an address, and wait until it is drawn."""
    driver.get("about:blank")
    driver.get(f"{page.resolve().as_uri()}{address}")
    return drawn(driver, 0)


def go(driver: Any, address: str) -> Any:
    """Go to an address of the page that is open, as a link would."""
    before = turn(driver)
    if driver.execute_script(
        "const same = location.hash === arguments[0]; location.hash = arguments[0]; return same", address
    ):
        return driver
    return drawn(driver, before)


def turn(driver: Any) -> int:
    return int(driver.execute_script("return document.documentElement.dataset.ready || 0"))


def drawn(driver: Any, after: int) -> Any:
    """Wait until the page was drawn once more."""
    limit = time.monotonic() + 60
    while turn(driver) <= after:
        assert time.monotonic() < limit, driver.find_element("tag name", "main").text
        time.sleep(0.02)
    return driver


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives once it holds; a browser answers keys when it comes to it."""
    limit = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < limit, "never came true"
        time.sleep(0.02)
    return found


def complaints(driver: Any) -> list[str]:
    """What the console holds: errors, and what the page's own policy refused."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
