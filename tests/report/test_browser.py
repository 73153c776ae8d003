"""The page in a real browser."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from unicodedata import normalize

import pytest
from pypdf import PdfReader

from normbench.claims.loading import load_claims
from normbench.report.page import page
from report.made_up import SHIPPED, alone, in_two_cells, judged_study

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--dump-dom",
]
# A hash in the page's policy lets its own script run and no other, so that a script under test needs the policy out.
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
CLICKS = """<script>
const table = document.querySelector("table.sortable");
const shown = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
const column = (place) => shown().map((row) => row.cells[place].dataset.v);
const press = () => table.tHead.rows[0].cells[3].querySelector("button").click();
const seen = {};
press(); seen.up = column(3);
press(); seen.down = column(3);
const input = document.querySelector(".filter input");
input.value = "small batch"; input.dispatchEvent(new Event("input")); seen.filtered = column(3).length;
seen.counted = document.querySelector(".filter span").textContent;
document.body.innerHTML = ""; document.body.dataset.seen = JSON.stringify(seen);
</script>"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a judged study."""
    if CHROMIUM is None:
        if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
            pytest.fail("Chromium is missing")
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("study")
    claims = judged_study(folder, ["affine_helps", "clipping_helps_bn", "eval_adapts_shift"], seeds=16, **alone())
    (folder / "report.html").write_text(page([folder], claims), encoding="utf-8")
    return folder / "report.html"


def opened(file: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Return what Chromium says of a page: its DOM on stdout, its console on stderr."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={file.parent / 'profile'}", *flags, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


def requests(file: Path) -> set[str]:
    """Return the addresses that a page asks for; what Chromium asks for on its own account has no origin."""
    log = file.with_suffix(".net.json")
    opened(file, f"--log-net-log={log}")
    asked = [event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    return {one["url"] for one in asked if "url" in one and one.get("initiator", "not an origin") != "not an origin"}


@pytest.mark.slow
def test_the_console_is_empty_and_nothing_is_requested(drawn: Path) -> None:
    """No error, no refused script, no address, and the page's own script has run."""
    done = opened(drawn)
    assert "CONSOLE" not in done.stderr
    assert 'aria-label="filter rows"' in done.stdout
    assert requests(drawn) == set()


@pytest.mark.slow
def test_a_broken_script_and_a_request_would_be_seen(drawn: Path) -> None:
    """The console tells what the policy refuses, and the log what it would have refused."""
    text = drawn.read_text(encoding="utf-8")
    broken, asking = drawn.with_name("broken.html"), drawn.with_name("asking.html")
    broken.write_text(text.replace("</body>", "<script>1</script></body>"), encoding="utf-8")
    assert "CONSOLE" in opened(broken).stderr
    image = "http://127.0.0.1:9/x.png"
    asking.write_text(POLICY.sub("", text).replace("</body>", f'<img src="{image}"></body>'), encoding="utf-8")
    assert requests(asking) == {image}


@pytest.mark.slow
def test_tables_sort_and_filter(drawn: Path) -> None:
    """By value, both ways, claims without an effect last; the filter says how many rows are left."""
    clicked = drawn.with_name("clicked.html")
    text = POLICY.sub("", drawn.read_text(encoding="utf-8"))
    clicked.write_text(text.replace("</body>", f"{CLICKS}</body>"), encoding="utf-8")
    found = re.search(r'data-seen="([^"]*)"', opened(clicked).stdout)
    assert found is not None
    seen = json.loads(found[1].replace("&quot;", '"'))
    up, down = ([float(value) for value in seen[way] if value] for way in ("up", "down"))
    assert up == sorted(up) and down == sorted(down, reverse=True) and len(up) == 3
    assert 0 < seen["filtered"] < len(seen["up"])
    assert seen["counted"] == f"{seen['filtered']} of {len(seen['up'])}"


@pytest.mark.slow
def test_cells_stay_under_their_claim(drawn: Path) -> None:
    """However a table is sorted; a filter shows a claim with its cells where any of them has the word."""
    folder = drawn.parent / "cells"
    claims = judged_study(folder, ["higher_lr"], higher_lr=in_two_cells(load_claims(SHIPPED)["higher_lr"]))
    text = POLICY.sub("", page([folder], claims))
    sorted_ = "seen.ids = [...table.tBodies[0].rows].map((row) => row.id).filter((id) => id.includes('higher_lr'));"
    clicks = CLICKS.replace('"small batch"', '"made-up deep"').replace("const input", f"{sorted_} const input")
    (folder / "clicked.html").write_text(text.replace("</body>", f"{clicks}</body>"), encoding="utf-8")
    found = re.search(r'data-seen="([^"]*)"', opened(folder / "clicked.html").stdout)
    assert found is not None
    seen = json.loads(found[1].replace("&quot;", '"'))
    assert seen["ids"] == [f"s0-row-higher_lr{cell}" for cell in ("", ".digits_mlp", ".digits_deep")]
    assert seen["filtered"] == 3 and seen["counted"] == "1 of 41"


@pytest.mark.slow
def test_paper_has_tables_with_a_head_on_each_page(drawn: Path) -> None:
    """However narrow the paper, a printed table is one of rows and columns, not of a phone's cards."""
    narrow, printed = drawn.with_name("narrow.html"), drawn.with_name("narrow.pdf")
    text = POLICY.sub("", drawn.read_text(encoding="utf-8"))
    narrow.write_text(text.replace("</head>", "<style>@page{size:148mm 105mm}</style></head>"), encoding="utf-8")
    opened(narrow, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    pages = [" ".join(normalize("NFKC", one.extract_text()).split()) for one in PdfReader(printed).pages]
    assert sum(one.startswith("claim verdict effect") for one in pages) > 1
