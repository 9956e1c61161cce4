"""`jobsdb report`: what a browser makes of the page, and that nothing in it can act or load."""

import http.server
import os
import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree.ElementTree import Element, TreeBuilder

import psycopg
import pytest

from commands import run, tenant_url
from helpers import new_database
from jobsdb import errors
from jobsdb.campaigns import samples, seed
from jobsdb.local import Server
from jobsdb.watching import page
from world import A, B, column, move_card, new_card, new_job, new_task, one, row

pytestmark = pytest.mark.timeout(180)

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
MOMENT = re.compile(r"[T ]\d\d:\d\d(:\d\d\.\d+\+00:00)?")
VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="session")
def browser() -> str:
    """Return the program of a headless Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        assert os.environ.get("JOBSDB_TEST_FETCH") != "must", "there is no chromium"
        pytest.skip("there is no chromium here: apt-get install chromium")
    return found


class Browser:
    """Runs a headless Chromium on a page, each time anew."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def _run(self, page_url: str, *options: str) -> str:
        return subprocess.run(
            [
                self._program, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--hide-scrollbars", f"--user-data-dir={self._folder / 'profile'}",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                *options, page_url,
            ],
            check=True, capture_output=True, text=True, timeout=90,
        ).stdout  # fmt: skip

    def dom(self, page_url: str) -> Element:
        """The document as it is after it was loaded."""
        parser = Dom()
        parser.feed(self._run(page_url, "--dump-dom"))
        return parser.builder.close()

    def picture(self, page_url: str, *options: str) -> tuple[bytes, bytes]:
        """The first pixel and all the lines of a screenshot."""
        file = self._folder / "picture.png"
        self._run(page_url, f"--screenshot={file}", "--window-size=1000,1400", *options)
        data, chunks, at = file.read_bytes(), b"", 8
        while at < len(data):
            (length,) = struct.unpack(">I", data[at : at + 4])
            if data[at + 4 : at + 8] == b"IDAT":
                chunks += data[at + 8 : at + 8 + length]
            at += 12 + length
        lines = zlib.decompress(chunks)
        return lines[1:4], lines


class Dom(HTMLParser):
    """Builds a tree from what a browser serialises."""

    def __init__(self) -> None:
        super().__init__()
        self.builder = TreeBuilder()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self.builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(data)


def text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(dom: Element, name: str) -> Element:
    (found,) = (part for part in dom.iter("section") if part.get("id") == name)
    return found


def table(part: Element) -> list[list[str]]:
    """The lines of the table of a section, without its heads."""
    lines = [[text(cell) for cell in line.iter("td")] for line in part.iter("tr")]
    return [line for line in lines if line]


def pairs(part: Element) -> dict[str, str]:
    return {text(pair[0]): text(pair[1]) for pair in part.find("dl")}


@pytest.fixture
def chromium(browser: str, tmp_path: Path) -> Browser:
    """Return a browser with a fresh profile."""
    return Browser(browser, tmp_path)


@pytest.fixture(scope="module")
def seeded(server: Server, template: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a database that has the sample campaigns."""
    with (
        new_database(server, template) as address,
        psycopg.connect(address, autocommit=True) as conn,
    ):
        seed.load(conn, samples.campaigns())
        yield conn


def written(conn: psycopg.Connection, job: object, folder: Path) -> str:
    """The URL of a file with the page of a job."""
    file = folder / "page.html"
    file.write_text(page.build(conn, str(job)))
    return file.as_uri()


@pytest.mark.parametrize(
    "name",
    ["Q4 AMC Follow-up Campaign", "Renewal Reminders", "Portal Access Audit", "Messy Import"],
)
def test_every_number_is_that_of_the_database(
    seeded: psycopg.Connection, chromium: Browser, tmp_path: Path, name: str
) -> None:
    job = one(seeded, "select id from public.jobs where name = %s", name)
    dom = chromium.dom(written(seeded, job, tmp_path))
    live = row(seeded, "select * from public.job_metrics_live where job_id = %s", job)

    assert text(next(dom.iter("h1"))) == f"{name} {live['status']}"
    approved = one(
        seeded,
        "select count(*) from public.kanban_cards where job_id = %s"
        " and state in ('approved', 'done') and type in ('draft_email', 'send_email')",
        job,
    )
    funnel = {line[0]: int(line[2].replace(",", "")) for line in table(section(dom, "10_funnel"))}
    assert funnel == {
        "contacts enrolled": live["contacts_enrolled"],
        "contacts not excluded": live["contacts_enrolled"] - live["contacts_excluded"],
        "drafted": live["emails_drafted"],
        "approved": approved,
        "sent": live["emails_sent"],
        "delivered": live["emails_delivered"],
        "opened": live["emails_opened_human"],
        "clicked": live["emails_clicked"],
        "replied": live["emails_replied"],
    }
    days = [tuple(line) for line in table(section(dom, "20_days"))]
    events = "select count(*)::text from jobsdb.events where job_id = %s and entity = %s"
    for number, entity in ((1, "card"), (2, "send"), (3, "job")):
        assert sum(int(day[number]) for day in days) == int(one(seeded, events, job, entity))
    reviewed = "select count(*) from jobsdb.card_reviews where job_id = %s"
    decided = sum(int(line[1]) for line in table(section(dom, "31_reviewers")))
    assert decided == one(seeded, reviewed, job)
    out = "select reason, count(*)::text from public.dry_run_job(%s) where not is_in group by 1"
    left_out = seeded.execute(out, [job]).fetchall()
    assert sorted(map(tuple, table(section(dom, "50_left_out")))) == sorted(left_out)
    sentences = column(seeded, "select sentence from public.job_blockers(%s)", job)
    assert [line[0] for line in table(section(dom, "60_blockers"))] == sentences
    heard = pairs(section(dom, "41_sends"))
    assert heard["sent"] == str(live["emails_sent"])
    assert heard["failed"] == str(live["emails_failed"])
    figures = dict(table(section(dom, "90_figures")))
    for name_, value in live.items():
        if isinstance(value, int) and not isinstance(value, bool):
            assert figures[name_] == str(value)


def test_percentiles_of_review_are_those_of_the_metrics(
    seeded: psycopg.Connection, chromium: Browser, tmp_path: Path
) -> None:
    live = row(
        seeded, "select * from public.job_metrics_live where name = 'Q4 AMC Follow-up Campaign'"
    )
    said = pairs(section(chromium.dom(written(seeded, live["job_id"], tmp_path)), "30_review"))
    assert live["review_seconds_p95"] > 0
    assert float(said["median hours"]) == round(live["review_seconds_p50"] / 3600, 2)
    assert float(said["p95 hours"]) == round(live["review_seconds_p95"] / 3600, 2)
    assert said["waiting"] == str(live["cards_in_review"])


@pytest.fixture
def hostile(db: psycopg.Connection) -> UUID:
    """A job in which whatever people and agents write is an attack."""
    job = new_job(db, name=HOSTILE, status="running")
    db.execute("update public.jobs set description = %s where id = %s", [f"</p>{HOSTILE}", job])
    task = new_task(db, job)
    db.execute(
        "update public.job_tasks set status = 'error', error_message = %s where id = %s",
        [f"</td></style></title>{HOSTILE}\x1b", task],
    )
    move_card(db, new_card(db, job), "rejected")
    return job


@pytest.mark.parametrize("policy", ["with its policy", "without"])
def test_hostile_names_are_inert_text(
    db: psycopg.Connection, hostile: UUID, chromium: Browser, tmp_path: Path, policy: str
) -> None:
    address = written(db, hostile, tmp_path)
    file = tmp_path / "page.html"
    if policy == "without":
        file.write_text(file.read_text().replace("Content-Security-Policy", "Nothing"))
    dom = chromium.dom(address)
    tags = {element.tag for element in dom.iter()}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert not [e for e in dom.iter() for name in e.keys() if name.startswith("on")]  # noqa: SIM118
    assert text(next(dom.iter("title"))) == HOSTILE
    assert text(next(dom.iter("h1"))) == f"{HOSTILE} running"
    assert text(next(dom.iter("header")).find("p")) == f"</p>{HOSTILE}"
    (line,) = table(section(dom, "40_errors"))
    assert line[:4] == ["research", f"</td></style></title>{HOSTILE}\ufffd", "1", "1"]


def test_a_page_without_its_escapes_would_be_owned(
    db: psycopg.Connection, hostile: UUID, chromium: Browser, tmp_path: Path
) -> None:
    """What the test above sees, if there is something to see."""
    page_ = page.build(db, str(hostile)).replace("Content-Security-Policy", "Nothing")
    file = tmp_path / "owned.html"
    file.write_text(page_.replace("&lt;", "<").replace("&gt;", ">"))
    dom = chromium.dom(file.as_uri())
    assert "script" in {element.tag for element in dom.iter()}


def test_it_loads_nothing(seeded: psycopg.Connection, chromium: Browser, tmp_path: Path) -> None:
    written(seeded, "Q4 AMC Follow-up Campaign", tmp_path)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_request(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever).start()
        dom = chromium.dom(f"http://127.0.0.1:{web.server_port}/page.html")
        web.shutdown()
    assert asked == ["/page.html"]
    loading = {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"}
    assert not [e for e in dom.iter() if loading & set(e.keys())]
    style = "".join(element.text for element in dom.iter("style"))
    assert not re.search(r"url\(|@import|//", style)
    (policy,) = (e.get("content") for e in dom.iter("meta") if e.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_there_is_something_to_see_in_light_and_dark_and_at_a_phones_width(
    seeded: psycopg.Connection, chromium: Browser, tmp_path: Path
) -> None:
    address = written(seeded, "Q4 AMC Follow-up Campaign", tmp_path)
    light, lines = chromium.picture(address)
    dark, dark_lines = chromium.picture(address, "--blink-settings=preferredColorScheme=0")
    _, narrow = chromium.picture(address, "--window-size=400,1400")
    assert light == b"\xff\xff\xff"
    assert max(dark) < 0x40
    for drawn in (lines, dark_lines, narrow):
        assert len(zlib.compress(drawn)) > 20_000, "hardly anything is drawn"


def test_a_job_of_which_nothing_is_known_has_a_page_too(
    db: psycopg.Connection, chromium: Browser, tmp_path: Path
) -> None:
    job = new_job(db, status="pending", name="new")
    dom = chromium.dom(written(db, job, tmp_path))
    assert [line[2] for line in table(section(dom, "10_funnel"))] == ["0"] * 9
    assert text(section(dom, "20_days")).endswith("None.")
    assert [line[0] for line in table(section(dom, "60_blockers"))] == [
        "the job has not been started"
    ]


def test_a_tenant_has_pages_of_its_own_jobs_only(db: psycopg.Connection, url: str) -> None:
    mine, others = new_job(db, A, name="mine"), new_job(db, B, name="theirs")
    move_card(db, new_card(db, mine), "rejected")
    db.execute("update jobsdb.events set actor = %s", [A])
    with psycopg.connect(tenant_url(url), autocommit=True) as tenant:
        assert MOMENT.sub("", page.build(tenant, "mine")) == MOMENT.sub("", page.build(db, "mine"))
    done = run("report", "-d", tenant_url(url), str(others), "-o", "-")
    assert done.returncode == errors.Exit.USAGE
    assert done.stdout == ""


def test_where_it_is_written(db: psycopg.Connection, url: str, tmp_path: Path) -> None:
    new_job(db, name="Spring")
    file = tmp_path / "spring.html"
    done = run("report", "-d", url, "Spring", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, f"written    {file}\n")
    assert file.read_text().startswith('<!doctype html>\n<html lang="en">')
    shown = run("report", "-d", url, "Spring", "-o", "-").stdout
    assert MOMENT.sub("", shown) == MOMENT.sub("", file.read_text())
    nowhere = run("report", "-d", url, "Spring", "-o", str(tmp_path / "no" / "file"))
    assert nowhere.returncode == errors.Exit.USAGE
    assert "cannot be written: No such file or directory" in nowhere.stderr
