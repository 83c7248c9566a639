"""Pictures of a run's page for the documents: ``python -m tests.report.pictures RUN docs/images`` (needs Chromium)."""

from __future__ import annotations

import argparse
import base64
import tempfile
from pathlib import Path

from harness.report.export import export
from tests.report.browser import Browser

#: Name, width, height, section that stands at the top (empty: the beginning of the page).
SHOTS = (
    ("page", 1200, 900, ""),
    ("charts", 1200, 900, "accuracy"),
    ("phone", 390, 844, ""),
    ("phone-charts", 390, 844, "heat"),
)
_QUALITY = 80


def main() -> None:
    """Write one WebP for each of :data:`SHOTS` and each colour scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        page = Path(folder) / "report.html"
        page.write_text(str(export(arguments.run, "html")), encoding="utf-8")
        for name, width, height, anchor in SHOTS:
            for dark in (False, True):
                browser.window(width, height, dark=dark)
                browser.open(page)
                picture = shoot(browser, anchor, width, height)
                file = arguments.out / f"{name}-{'dark' if dark else 'light'}.webp"
                file.write_bytes(picture)
                print(f"{file}: {len(picture) / 1024:.0f} KiB")
        if browser.complaints():
            raise SystemExit(f"the page complained: {browser.complaints()}")


def shoot(browser: Browser, anchor: str, width: int, height: int) -> bytes:
    """What a reader sees who has scrolled to ``anchor``."""
    # everything laid out, so that sections stand where they are and not where the browser guesses
    style = "<style>.group, .verdicts { content-visibility: visible }</style>"
    browser.value(f"document.head.insertAdjacentHTML('beforeend', {style!r})")
    top = browser.value(f"document.getElementById({anchor!r}).getBoundingClientRect().top + scrollY") if anchor else 0
    clip = {"x": 0, "y": top - (24 if anchor else 0), "width": width, "height": height, "scale": 1}
    if anchor:  # the bar of filters would stick to the top of the window, in the middle of the picture
        browser.value("document.querySelector('.bar').style.position = 'static'")
    found = browser.send(
        "Page.captureScreenshot", format="webp", quality=_QUALITY, captureBeyondViewport=True, clip=clip
    )
    return base64.b64decode(found["data"])


if __name__ == "__main__":
    main()
