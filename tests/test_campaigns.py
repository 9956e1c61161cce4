"""Campaigns: what params mean, whom a job addresses, what is planned and what e-mails say."""

import hashlib
import html
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

import world
from helpers import SOAK, as_anon, as_service, as_tenant, refused
from jobsdb.deploy.migrate import migrate
from jobsdb.local import Server
from stepping import Stage, open_stage
from world import FINISHED, UNKNOWN, A, B, column, one, outcome, row, rows

GUIDE = json.loads(
    '{"name":"Test Job","description":"First test job","params":{"target_group":"AMC",'
    '"cadence":{"day0":true},"templates":{"intro":{"subject":"Hello {{first_name}}",'
    '"body":"Test email"}},"review_mode":true,"batch_size":5}}'
)
GUIDE_SQL = {
    "target_group": "AMC",
    "target_filter": {"state": "FL", "active": True},
    "cadence": {"day0": True, "day4": True, "day10": True},
    "templates": {
        "intro": "Subject: …\nBody: Hello {{first_name}}…",
        "followup1": "Subject: …\\nBody: …",
        "followup2": "Subject: …\nBody: …",
    },
    "review_mode": True,
    "batch_size": 10,
}
INTRO = {"subject": "Hello", "body": "Dear {{first_name|friend}}"}
MAIL = {"subject": "S", "body": "B"}
EVERY_ORG = UUID(int=0)
MIB = 1 << 20
CREATE = "select * from create_job(%s)"
TABLES = ["contacts", "contact_source", "suppressions", "job_keys", "job_contacts", "planned_jobs"]
ANY_TEXT = [
    "'; drop table jobs; --",
    'say "hello"',
    "{{email}}",
    "back\\slash \\1 \\0 &",
    "%s %I %1$s",
    "line\nend",
    "\u6f22\u5b57 \U0001f642",
    "<script>",
    "k" * 200,
]


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage


def person(key: object, email: str | None = "", groups: Any = ("AMC",), **more: Any) -> dict:
    """A contact as upsert_contacts takes it; without an address it gets one of its own."""
    given = {"contact_key": key, "email": f"{key}@example.com" if email == "" else email}
    zone = {"time_zone": more.pop("time_zone")} if "time_zone" in more else {}
    return {**given, "groups": list(groups), "attributes": more, **zone}


def add(conn: psycopg.Connection, *people: object, org: UUID = A) -> int:
    with as_tenant(conn, org):
        return one(conn, "select upsert_contacts(%s)", Jsonb(people))


def params(**changes: Any) -> dict[str, Any]:
    """Params of a campaign of one e-mail to the group AMC, changed; None leaves a key out."""
    usual = {"target_group": "AMC", "cadence": {"day0": True}, "templates": {"intro": INTRO}}
    return {key: value for key, value in {**usual, **changes}.items() if value is not None}


def campaign(
    conn: psycopg.Connection, org: UUID = A, status: str = "pending", **changes: Any
) -> UUID:
    """A job that a tenant has created, with its audience."""
    with as_tenant(conn, org):
        job = row(conn, CREATE, Jsonb({"name": "a campaign", "params": params(**changes)}))["id"]
    for step in world.WAY_OF_A_JOB[status]:
        world.move_job(conn, job, step)
    return job


def reasons(conn: psycopg.Connection, job: UUID) -> dict[str, str | None]:
    """Why each contact of a job is left out, None for those who are in."""
    found = rows(conn, "select * from jobsdb.job_contacts where job_id = %s", job)
    for each in found:
        assert each["state"] == ("excluded" if each["reason"] else "active")
        assert each["email"] is None or each["email"] == each["email"].strip()
    return {each["contact_key"]: each["reason"] for each in found}


def addressed(conn: psycopg.Connection, org: UUID = A, **changes: Any) -> set[str]:
    return {key for key, why in reasons(conn, campaign(conn, org, **changes)).items() if not why}


def tasks(conn: psycopg.Connection, job: UUID, batch: int) -> list[dict[str, Any]]:
    return rows(
        conn,
        "select step, kind, status, input, depends_on from job_tasks"
        " where job_id = %s and batch = %s order by step",
        job,
        batch,
    )


def drafts(conn: psycopg.Connection, job: UUID, batch: int) -> list[tuple[str, list[str]]]:
    """Template and contacts of every draft of a batch."""
    return [
        (task["input"]["template"], task["input"]["contact_ids"])
        for task in tasks(conn, job, batch)
        if task["kind"] == "draft_email"
    ]


def plan(conn: psycopg.Connection, job: UUID | None, org: UUID = A) -> int:
    with as_tenant(conn, org):
        return one(conn, "select plan_next_batch(%s)", job)


def add_due(conn: psycopg.Connection, job: UUID, touch: int, *keys: str) -> None:
    """Give contacts a touch that is due, as settling their last one would."""
    conn.execute(
        "with touched as (update jobsdb.job_contacts set next_touch = %s"
        " where job_id = %s and contact_key = any(%s) returning job_id, org_id, contact_key)"
        " insert into jobsdb.due_contacts select *, now() from touched",
        [touch, job, list(keys)],
    )


def make_due(conn: psycopg.Connection, job: UUID, touch: int, *keys: str) -> None:
    """The same, and runners look at once."""
    add_due(conn, job, touch, *keys)
    conn.execute("update jobsdb.planned_jobs set next_at = now() where job_id = %s", [job])


def everything(conn: psycopg.Connection) -> dict[str, Any]:
    """A fingerprint of every table."""
    tables = column(
        conn,
        "select format('%%I.%%I', schemaname, tablename) from pg_tables"
        " where schemaname = any (%s) order by 1",
        ["public", "jobsdb"],
    )
    assert {f"jobsdb.{name}" for name in TABLES} < set(tables)
    read = "select count(*), md5(string_agg(t::text, '' order by t::text)) from {} as t"
    return {name: conn.execute(read.format(name)).fetchone() for name in tables}


@contextmanager
def without_a_trace(conn: psycopg.Connection) -> Iterator[None]:
    before = everything(conn)
    yield
    assert everything(conn) == before


# -------------------------------------------------------------------------------------- rendering


def rendered(
    conn: psycopg.Connection, template: object, variables: object = None, **more: str
) -> tuple[str, str, list[str]]:
    given = {"template": Jsonb(template), "variables": Jsonb(variables or {}), **more}
    call = ", ".join(f"{name} => %({name})s" for name in given)
    with as_tenant(conn, A):
        return conn.execute(f"select * from render_template({call})", given).fetchone()


BODIES = {
    "a variable is put in": ("Dear {{name}}!", "Dear Ann!", []),
    "spaces inside the braces do not count": ("{{ name }}{{\tname\r\n}}", "AnnAnn", []),
    "a default is not used when there is a value": ("{{name|you}}", "Ann", []),
    "a default is used without one": ("{{gone|you}} {{ gone |you}}", "you you", []),
    "a default may be empty or hold pipes": ("<{{gone|}}{{gone|a|b}}>", "<a|b>", []),
    "a default is taken as it is spaced": ("{{gone| you }}", " you ", []),
    "an empty value counts as missing": ("{{empty}} {{empty|you}}", "{{empty}} you", ["empty"]),
    "null counts as missing": ("{{null}} {{null|you}}", "{{null}} you", ["null"]),
    "what is missing stays visible, told once": (
        "{{gone}} {{ lost }} {{gone}}",
        "{{gone}} {{lost}} {{gone}}",
        ["gone", "lost"],
    ),
    "a value is never read as a template": ("{{nested}} {{name}}", "{{name}} {{email}} Ann", []),
    "all that HTML could misread is escaped": ("{{html}}", "&amp;&lt;&gt;&quot;&#39;&amp;amp;", []),
    "the template itself is HTML": ("<b>R&D</b> {{name}}", "<b>R&D</b> Ann", []),
    "numbers are written as they are given": ("{{int}} {{float}}", "-7 1.50", []),
    "true and false are values": ("{{yes}} {{no}}", "true false", []),
    "objects and arrays are JSON": ("{{object}}{{array}}", "{&quot;a&quot;: 1}[1, null]", []),
    "a name may have spaces or be any text": ("{{first name}}{{\\1}}{{\u6f22}}", "onetwothree", []),
    "what no variable is stays": (
        "{{}} {{ }} {{|x}} {name} {{name} {{a{b}} }}{{",
        "{{}} {{ }} {{|x}} {name} {{name} {{a{b}} }}{{",
        [],
    ),
    "braces around a variable stay": ("{{{name}}} {{{{name}}}}", "{Ann} {{Ann}}", []),
    "what regular expressions replace by stays": (r"\1\0&$1{{back}}", r"\1\0&$1\1\\0&amp;$1", []),
}
VALUES = {
    "name": "Ann",
    "empty": "",
    "null": None,
    "nested": "{{name}} {{email}}",
    "email": "ann@example.com",
    "html": "&<>\"'&amp;",
    "int": -7,
    "yes": True,
    "no": False,
    "object": {"a": 1},
    "array": [1, None],
    "first name": "one",
    "\\1": "two",
    "\u6f22": "three",
    "back": r"\1\\0&$1",
}


@pytest.mark.parametrize(("text", "body", "missing"), BODIES.values(), ids=BODIES.keys())
def test_a_body_is_rendered(
    tx: psycopg.Connection, text: str, body: str, missing: list[str]
) -> None:
    variables = json.dumps(VALUES)[:-1] + ', "float": 1.50}'
    with as_tenant(tx, A):
        found = tx.execute(
            "select * from render_template(%s, %s)",
            [Jsonb({"subject": "S", "body": text}), variables],
        ).fetchone()
    assert found == ("S", body, missing)


def test_bodies_are_escaped_unless_told_and_subjects_never(tx: psycopg.Connection) -> None:
    template, who = {"subject": "{{name}}", "body": "{{name}}"}, "Dan & Ann O'Brien <a@b.c>"
    escaped = "Dan &amp; Ann O&#39;Brien &lt;a@b.c&gt;"
    assert rendered(tx, template, {"name": who}) == (who, escaped, [])
    assert rendered(tx, template, {"name": who}, escape="html") == (who, escaped, [])
    assert rendered(tx, template, {"name": who}, escape="none") == (who, who, [])
    assert rendered(tx, template, {"name": who}, escape="nonsense") == (who, escaped, [])


@pytest.mark.parametrize("char", ["\r\n", "\n", "\r", "\t", "\x01", "\x1b", "\x7f", "\x85", "\x9f",
                                  "\u2028", "\u2029"])  # fmt: skip
def test_a_subject_never_begins_another_header(tx: psycopg.Connection, char: str) -> None:
    value = f"Ann{char}Bcc: everybody@example.com"
    template = {"subject": f" Hi{char} {{{{name}}}}{char}", "body": "{{name}}"}
    subject, body, missing = rendered(tx, template, {"name": value})
    assert subject == "Hi AnnBcc: everybody@example.com"
    assert body == value
    assert missing == []


def test_nul_can_be_in_no_template_and_in_no_variable(tx: psycopg.Connection) -> None:
    for values in ('{"body": "\\u0000"}', "{}"), ('"x"', '{"a": "\\u0000"}'):
        with as_tenant(tx, A), refused(tx, "22P05", "unsupported Unicode escape"):
            tx.execute("select * from render_template(%s, %s)", values)


def test_a_subject_that_is_missing_or_renders_to_nothing_is_reported(
    tx: psycopg.Connection,
) -> None:
    for template in ("Hello", {"body": "Hello"}, {"subject": " \n", "body": "Hello"},
                     {"subject": "{{gone|}}", "body": "Hello"}, "Subject:\nHello"):  # fmt: skip
        assert rendered(tx, template) == ("", "Hello", ["subject"]), template
    assert rendered(tx, {"subject": "{{b}}", "body": "{{a}} {{b}}"}) == (
        "{{b}}",
        "{{a}} {{b}}",
        ["a", "b"],
    )


TEXTS = {
    "Subject: Hi\nBody: You": ("Hi", "You"),
    "Subject: Hi\\nBody: You\\nthere": ("Hi", "You\nthere"),
    "Subject: Hi\r\nBody: You": ("Hi", "You"),
    "subject:Hi\nBODY:You": ("Hi", "You"),
    "Subject: Hi\n\n  You\n there": ("Hi", "You\n there"),
    "Subject: Hi\n\nBody: You": ("Hi", "You"),
    "\n Subject: Hi\nSubject: You": ("Hi", "Subject: You"),
    "Subject: Hi": ("Hi", ""),
    "Body: You": ("", "You"),
    "You\nSubject: Hi": ("", "You\nSubject: Hi"),
    "Subject: C:\\new\nBody: \\n": ("C:\\new", "\\n"),
    "": ("", ""),
}


@pytest.mark.parametrize(("text", "read"), TEXTS.items())
def test_a_text_is_taken_apart_into_subject_and_body(
    tx: psycopg.Connection, text: str, read: tuple[str, str]
) -> None:
    assert rendered(tx, text) == (*read, [] if read[0] else ["subject"])


def test_rendering_never_fails_whatever_it_is_given(tx: psycopg.Connection) -> None:
    given = (
        None,
        "null",
        "[]",
        "{}",
        "5",
        '"x"',
        '{"subject": 5, "body": {}}',
        "true",
        '["{{a}}"]',
    )
    with as_tenant(tx, A):
        for template, variables in itertools.product(given, repeat=2):
            found = row(tx, "select * from render_template(%s, %s, null)", template, variables)
            assert isinstance(found["subject"], str)
            assert isinstance(found["body"], str)


NAMES = ["a", "b", "first name", "email", "1", "\\1", "&", "subject", "\u00e9"]
HOSTILE = st.text(st.sampled_from("{}{}||ab \t\n\r\\\\&<>\"'%$01\u00e9\u6f22\U0001f642\x01"))
PIECES = st.one_of(
    HOSTILE,
    st.sampled_from(NAMES).map("{{{{{}}}}}".format),
    st.builds("{{{{ {} |{}}}}}".format, st.sampled_from(NAMES), HOSTILE),
)
TEMPLATES = st.lists(PIECES, max_size=6).map("".join)
VARIABLES = st.dictionaries(
    st.sampled_from(NAMES), st.one_of(HOSTILE, PIECES, st.none(), st.booleans(), st.integers())
)


def variable_at(text: str, start: int) -> tuple[str, str | None, int] | None:
    """Name, default and end of the variable that begins here; None when none does."""
    if not text.startswith("{{", start):
        return None
    end = next((i for i in range(start + 2, len(text)) if text[i] in "{}|"), len(text))
    name, default = text[start + 2 : end].strip(" \t\r\n"), None
    if text.startswith("|", end):
        begin = end + 1
        end = next((i for i in range(begin, len(text)) if text[i] in "{}"), len(text))
        default = text[begin:end]
    return (name, default, end + 2) if name and text.startswith("}}", end) else None


def expected(text: str, variables: dict[str, Any], escapes: bool) -> tuple[str, set[str]]:
    """The text with its variables and what is missing, written down a second time."""
    made, missing, at = "", set(), 0
    while at < len(text):
        found = variable_at(text, at)
        if found is None:
            made, at = made + text[at], at + 1
            continue
        name, default, at = found
        value = variables.get(name)
        value = json.dumps(value) if isinstance(value, bool | int) else value or default
        if value is None:
            missing.add(name)
            made += "{{" + name + "}}"
        else:
            made += html.escape(value).replace("&#x27;", "&#39;") if escapes else value
    return made, missing


@settings(
    max_examples=1000 if SOAK else 150,
    deadline=None,
    derandomize=not SOAK,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    subject=TEMPLATES, body=TEMPLATES, variables=VARIABLES, escape=st.sampled_from(["html", "none"])
)
def test_a_template_is_rendered_as_a_simple_parser_does(
    tx: psycopg.Connection, subject: str, body: str, variables: dict[str, Any], escape: str
) -> None:
    template = {"subject": subject, "body": body}
    told = rendered(tx, template, variables, escape=escape)
    its_subject, missing = expected(subject, variables, False)
    its_body, missing_too = expected(body, variables, escape == "html")
    its_subject = "".join(c for c in its_subject if c >= " ").strip(" ")
    assert told[:2] == (its_subject, its_body)
    assert sorted(told[2]) == sorted(
        missing | missing_too | (set() if its_subject else {"subject"})
    )


# ------------------------------------------------------------------------------------------ params


def problems(conn: psycopg.Connection, value: object) -> set[tuple[str, str, str]]:
    with as_tenant(conn, A):
        found = rows(conn, "select * from validate_job_params(%s)", Jsonb(value))
    assert all(each["hint"] for each in found)
    return {(each["path"], each["severity"], each["sentence"]) for each in found}


MISNAMED = [1, [], {}, {"template": 5}, {"template": None}]
NO_TEMPLATES = [5, None, [], {}, {"subject": "S"}, {"body": 5}, {"subject": 5, "body": "B"}]
NO_DAYS = [[], ["someday"], ["mon", 5], [None], "mon", None, {}]
NO_TIMES = ["9:00", "09:60", "now", 9, "", "09:00:00"]
CLOSED = [{"from": "17:00", "to": "09:00"}, {"from": "09:00", "to": "09:00"}, {"from": "24:00"}]
ERRORS = {  # where, what is said, and what is said so of: values of the key the path begins with
    "review_mode": ("review_mode is not true or false", ["yes", 0, [], {}]),
    "four_eyes": ("four_eyes is not true or false", ["yes", 1, []]),
    "cadence": ("cadence is not an object", [[], "day0", True]),
    "templates": ("templates is not an object", [[], "intro", 5]),
    "target_filter": ("target_filter is not an object", [[], "x", False]),
    "target_group": ("target_group is not text or an array", [5, {}, True]),
    "target_group[1]": ("a target group is not text", [["AMC", 5], ["AMC", None]]),
    "variables": ("variables is not an object", [[], "x"]),
    "stop_on": ("stop_on is not an object", [[], "reply"]),
    "mailbox": ("mailbox is not text", [5, {}]),
    "budget": ("budget is not an object", [20, []]),
    "budget.max_cost": ("max_cost of the budget is not a number", [{"max_cost": "20"}]),
    "budget.max_tokens": ("max_tokens of the budget is not a number", [{"max_tokens": []}]),
    "review_ttl": ("review_ttl is no number of hours", [0, -1, 1e6, "72", {}]),
    "min_success_rate": (
        "min_success_rate is not a number from 0 to 1",
        [-0.1, 1.1, 50, "0.5", True],
    ),
    "batch_size": (
        "batch_size is not a whole number from 1 to 10000",
        [0, -1, 10001, 2.5, 1e300, "10", True, []],
    ),
    "escape": ("escape is neither html nor none", ["HTML", 5, {}]),
    "on_missing": ("on_missing is neither review nor exclude", ["skip", True, []]),
    "cadence.monday": ("monday is no day of a cadence", [{"monday": True}]),
    "cadence.Day0": ("Day0 is no day of a cadence", [{"Day0": True}]),
    "cadence.day-1": ("day-1 is no day of a cadence", [{"day-1": True}]),
    "cadence.day1000": ("day1000 is no day of a cadence", [{"day1000": True}]),
    "cadence.day0": (
        "day0 is neither true, false nor the name of a template",
        [{"day0": value} for value in MISNAMED],
    ),
    "cadence.day3": (
        "day3 names template gone, which does not exist",
        [{"day3": "gone"}, {"day3": {"template": "gone"}}],
    ),
    "templates.intro": (
        "template intro has no subject and body",
        [{"intro": value} for value in NO_TEMPLATES],
    ),
    "send_window": ("send_window is not an object", [[], "9-5"]),
    "send_window.from": (
        "from of the sending window is no time of day",
        [{"from": value} for value in NO_TIMES],
    ),
    "send_window.to": ("to of the sending window is no time of day", [{"to": "25:00"}]),
    "send_window.days": (
        "days of the sending window are not weekdays",
        [{"days": value} for value in NO_DAYS],
    ),
    "send_window.in": (
        "in of the sending window is neither contact nor job",
        [{"in": "mars"}, {"in": True}],
    ),
}
WARNINGS = [
    ("", "nobody is addressed", {"target_group": None}),
    ("cadence.day4", "day4 has no template", {"cadence": {"day0": True, "day4": True}}),
    ("cadence.day0", "day0 has no template", {"templates": None}),
    ("templates.x", "template x is never sent", {"templates": {"intro": MAIL, "x": MAIL}}),
    ("templates.intro", "template intro has no subject", {"templates": {"intro": "Hello"}}),
    ("templates.intro", "template intro has no subject", {"templates": {"intro": {"body": "B"}}}),
    (
        "send_window.tz",
        "the time zone of the sending window is unknown",
        {"send_window": {"tz": "Mars/Base"}},
    ),
    ("colour", "colour is not a key jobsdb knows", {"colour": "blue"}),
    ("k" * 300, "k" * 100 + " is not a key jobsdb knows", {"k" * 300: [{}]}),
]


@pytest.mark.parametrize(
    ("path", "sentence", "value"),
    [(path, told, value) for path, (told, values) in ERRORS.items() for value in values]
    + [("send_window", "the sending window closes before it opens", value) for value in CLOSED],
)
def test_an_error_is_told_and_refuses_the_job_however_it_is_created(
    tx: psycopg.Connection, path: str, sentence: str, value: object
) -> None:
    bad = {**params(), path.split(".")[0].split("[")[0]: value}
    assert (path, "error", sentence) in problems(tx, bad)
    attempts = {
        CREATE: {"name": "x", "params": bad},
        "insert into jobs (name, params) values ('x', %s)": bad,
        "select * from explain_job_params(%s)": bad,
    }
    with as_tenant(tx, A):
        for attempt, payload in attempts.items():
            with refused(tx, "JB010") as info:
                tx.execute(attempt, [Jsonb(payload)])
            assert sentence in (info.value.diag.message_detail or "")
        assert outcome(tx, "select from jobs") == []


@pytest.mark.parametrize("key", ["review_mode", "cadence", "batch_size", "escape", "budget"])
def test_null_is_no_value_of_a_key(tx: psycopg.Connection, key: str) -> None:
    found = problems(tx, {**params(), key: None})
    assert [(path, severity) for path, severity, _ in found if path == key] == [(key, "error")]


@pytest.mark.parametrize(("path", "sentence", "changes"), WARNINGS)
def test_a_warning_is_told_and_refuses_nothing(
    tx: psycopg.Connection, path: str, sentence: str, changes: dict[str, Any]
) -> None:
    meant = params(**changes)
    assert problems(tx, meant) == {(path, "warning", sentence)}
    assert row(tx, "select params from jobs where id = %s", campaign(tx, **changes)) == {
        "params": meant
    }


def test_params_that_are_no_object_are_one_problem(tx: psycopg.Connection) -> None:
    for value in (None, [], "x", 5, True):
        assert problems(tx, value) == {("", "error", "params is not an object")}
    with as_tenant(tx, A):
        assert len(rows(tx, "select * from validate_job_params(null)")) == 1


def test_the_examples_of_the_guide_have_no_problem(tx: psycopg.Connection) -> None:
    assert problems(tx, GUIDE["params"]) == set()
    assert problems(tx, GUIDE_SQL) == set()
    assert problems(tx, {}) == set()


MANY = {
    "review_mode": "no",
    "batch_size": 0,
    "cadence": {"soon": True, "day3": "gone"},
    "templates": {"intro": 5},
    "send_window": {"days": []},
    "colour": "blue",
}


def test_all_problems_are_told_at_once(tx: psycopg.Connection) -> None:
    found = problems(tx, MANY)
    assert {(path, severity) for path, severity, _ in found} == {
        ("", "warning"),
        ("review_mode", "error"),
        ("batch_size", "error"),
        ("cadence.soon", "error"),
        ("cadence.day3", "error"),
        ("templates.intro", "error"),
        ("templates.intro", "warning"),
        ("send_window.days", "error"),
        ("colour", "warning"),
    }


def test_params_that_are_too_large_or_too_deep_are_refused(tx: psycopg.Connection) -> None:
    deep, wide = '{"a":' * 5000 + "1" + "}" * 5000, json.dumps({"a": "x" * MIB})
    with as_tenant(tx, A):
        for given, told in ((deep, "nested too deeply"), (wide, "too large")):
            for attempt in ("select * from validate_job_params(%s)",
                            "select * from explain_job_params(%s)",
                            "insert into jobs (name, params) values ('x', %s)"):  # fmt: skip
                with refused(tx, "JB012", f"params is {told}"):
                    tx.execute(attempt, [given])
            with refused(tx, "JB012", f"the payload is {told}"):
                tx.execute(CREATE, ['{"name": "x", "params": ' + given + "}"])


def test_a_draft_that_is_too_large_for_a_task_is_refused_where_it_is_planned(
    tx: psycopg.Connection,
) -> None:
    """What all drafts say fits into params, and with the contacts of one chunk not into a task."""
    for n in range(3):
        add(tx, person(str(n) + "k" * 199, f"c{n}@example.com"))
    payload = {"name": "x", "params": params(variables={"said": "x" * (MIB - 400)})}
    with as_tenant(tx, A), refused(tx, "JB012", "input is too large"):
        tx.execute(CREATE, [Jsonb(payload)])
    payload["params"]["batch_size"] = 1
    with as_tenant(tx, A):
        job = row(tx, CREATE, Jsonb(payload))["id"]
    assert len(drafts(tx, job, 0)) == 3


EXPLAIN = """
select touch, day, template, is_named, subject, batch_size, review_mode, opens,
  closes, days, time_zone, variables
from explain_job_params(%s)
"""
NAMED = {"intro": MAIL, "a": MAIL, "special": MAIL, "other": MAIL}
PAIRINGS = {
    "intro comes first, then as people count": (
        {"day10": True, "day4": True, "day0": True, "day999": True},
        {"followup10": MAIL, "followup2": MAIL, "a": MAIL, "intro": MAIL},
        [(0, "intro"), (4, "a"), (10, "followup2"), (999, "followup10")],
    ),
    "a day may name its template": (
        {"day0": True, "day4": "special", "day9": {"template": "other"}, "day12": True},
        NAMED,
        [(0, "intro"), (4, "special"), (9, "other"), (12, "a")],
    ),
    "one template may be sent twice": (
        {"day0": "a", "day4": "a", "day5": True},
        {"a": MAIL, "intro": MAIL},
        [(0, "a"), (4, "a"), (5, "intro")],
    ),
    "days that are false or null are left out": (
        {"day0": False, "day4": True, "day10": None},
        {"intro": MAIL},
        [(4, "intro")],
    ),
    "days without a template stay": (
        {"day0": True, "day4": True},
        {"intro": MAIL},
        [(0, "intro"), (4, None)],
    ),
    "templates without a cadence are sent once": (None, {"b": MAIL, "a": MAIL}, [(0, "a")]),
}


@pytest.mark.parametrize(("cadence", "templates", "pairs"), PAIRINGS.values(), ids=PAIRINGS.keys())
def test_touches_pair_with_templates(
    tx: psycopg.Connection, cadence: Any, templates: Any, pairs: list[tuple[int, str]]
) -> None:
    with as_tenant(tx, A):
        found = tx.execute(
            "select touch, day, template, is_named from explain_job_params(%s)",
            [Jsonb(params(cadence=cadence, templates=templates))],
        ).fetchall()
    assert [(day, template) for _, day, template, _ in found] == pairs
    assert [touch for touch, *_ in found] == list(range(len(pairs)))
    for _, day, _, is_named in found:
        assert is_named == (cadence is not None and cadence[f"day{day}"] is not True)


def test_touches_pair_alike_whatever_the_language_of_the_database(server: Server) -> None:
    create = "create database in_english template template0 locale_provider icu icu_locale 'en-US'"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        try:
            admin.execute(create)
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server sorts by bytes only")
        try:
            migrate(server.url("in_english"))
            with psycopg.connect(server.url("in_english")) as conn:
                cadence = {f"day{n}": True for n in range(4)}
                given = params(cadence=cadence, templates=dict.fromkeys(["b", "C", "a", "B"], MAIL))
                paired = "select template from jobsdb.touches(%s) order by touch"
                assert column(conn, paired, Jsonb(given)) == ["B", "C", "a", "b"]
        finally:
            admin.execute("drop database in_english with (force)")


def test_every_driver_can_read_what_params_mean(tx: psycopg.Connection) -> None:
    """No Python or Java time of day is 24:00, which an ever open window closes at."""
    with as_tenant(tx, A):
        assert len(rows(tx, "select * from explain_job_params(%s)", Jsonb(params()))) == 1


def test_params_are_explained_with_what_is_meant_by_leaving_them_away(
    tx: psycopg.Connection,
) -> None:
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    text = "Subject: Hi {{first_name}}\nBody: {{company|we}} {{ city }} {{first_name}} {{email}}"
    with as_tenant(tx, A):
        assert tx.execute(EXPLAIN, [Jsonb({})]).fetchall() == []
        given = params(cadence={"day0": True, "day4": True}, templates={"intro": text})
        always = ("00:00", "24:00", week, "UTC unless the contact has its own")
        assert tx.execute(EXPLAIN, [Jsonb(given)]).fetchall() == [
            (0, 0, "intro", False, "Hi {{first_name}}", 10, True, *always,
             ["city", "email", "first_name"]),
            (1, 4, None, False, None, 10, True, *always, None),
        ]  # fmt: skip
        window = {"from": "09:00", "to": "17:30", "days": ["Friday", "mon"], "in": "job"}
        for zone, used in (("Europe/Berlin", "Europe/Berlin"), ("Mars/Base", "UTC")):
            given = params(batch_size=3, review_mode=False, send_window={**window, "tz": zone})
            assert tx.execute(EXPLAIN, [Jsonb(given)]).fetchall() == [
                (0, 0, "intro", False, "Hello", 3, False, "09:00", "17:30", ["mon", "fri"],
                 used, [])
            ]  # fmt: skip


def test_a_whole_batch_size_may_be_written_with_a_point(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    assert problems(tx, params(batch_size=10.0)) == set()
    with as_tenant(tx, A):
        assert tx.execute(EXPLAIN, [Jsonb(params(batch_size=10.0))]).fetchone()[5] == 10
    assert len(tasks(tx, campaign(tx, batch_size=10.0), 0)) == 2


def test_a_variable_named_subject_is_one_like_any_other(tx: psycopg.Connection) -> None:
    templates = {"intro": {"subject": "About it", "body": "Read about {{subject}}"}}
    given = params(templates=templates, on_missing="exclude")
    add(tx, person("has", subject="cats"), person("lacks"))
    assert reasons(tx, campaign(tx, **given)) == {"has": None, "lacks": "missing_variable"}
    with as_tenant(tx, A):
        assert tx.execute(EXPLAIN, [Jsonb(given)]).fetchone()[-1] == ["subject"]


# ------------------------------------------------------------------------------------- create_job


def test_the_json_body_of_the_guide_creates_a_job(tx: psycopg.Connection) -> None:
    add(tx, *(person(f"c{n}", first_name="Ann") for n in range(6)))
    for payload in (GUIDE, {"payload": GUIDE}):
        with as_tenant(tx, A):
            job = row(tx, "select * from create_job(%s)", Jsonb(payload))
            assert job == row(tx, "select * from jobs where id = %s", job["id"])
        for name in ("name", "description", "params"):
            assert job[name] == GUIDE[name]
        assert (job["org_id"], job["created_by"], job["status"]) == (A, A, "pending")
        assert job["tasks_total"] == 4


def test_a_job_of_its_name_alone_is_created(tx: psycopg.Connection) -> None:
    for payload in (
        {"name": "x"},
        {"name": "x", "params": None, "description": None},
        {"name": "x" * 200, "idempotency_key": None, "org_id": None},
        {"name": "{{email}} '; drop table jobs", "payload": {}, "unknown": 1},
    ):
        with as_tenant(tx, A):
            job = row(tx, CREATE, Jsonb(payload))
        assert (job["name"], job["params"], job["description"]) == (payload["name"], {}, None)
        assert job["tasks_total"] == 0


REFUSED_PAYLOADS = [
    ({}, "name is missing."),
    ({"name": None}, "name is missing."),
    ({"name": 5}, "name is not text."),
    ({"name": "\n "}, "name is blank."),
    ({"name": "x" * 201}, "name has more than 200 characters."),
    ({"name": "x", "description": []}, "description is not text."),
    ({"name": "x", "idempotency_key": ""}, "idempotency_key is not a text of 1 to 200 characters."),
    ({"name": "x", "idempotency_key": 5}, "idempotency_key is not a text of 1 to 200 characters."),
    ({"name": "x", "idempotency_key": "k" * 201}, "idempotency_key is not a text of 1 to 200 "),
    ({"name": "x", "org_id": "mine"}, "org_id is not a uuid."),
    ({"name": "x", "org_id": 5}, "org_id is not a uuid."),
    ({"name": "x", "params": []}, "params is not an object."),
    ({"payload": {"description": "x"}}, "name is missing."),
    ([], "name is missing."),
    ("name", "name is missing."),
    (None, "name is missing."),
]


@pytest.mark.parametrize(("payload", "detail"), REFUSED_PAYLOADS)
def test_a_payload_that_makes_no_job_is_refused(
    tx: psycopg.Connection, payload: object, detail: str
) -> None:
    with as_tenant(tx, A), refused(tx, "JB010", "the job cannot be created") as info:
        tx.execute(CREATE, [Jsonb(payload)])
    assert (info.value.diag.message_detail or "").startswith(detail)


def test_a_refused_payload_is_told_all_its_problems_and_leaves_nothing(
    tx: psycopg.Connection,
) -> None:
    add(tx, person("c1"))
    bad = {"name": " ", "description": 5, "idempotency_key": "", "org_id": "x", "params": MANY}
    with without_a_trace(tx), as_tenant(tx, A):
        with refused(tx, "JB010", "the job cannot be created") as info:
            tx.execute(CREATE, [Jsonb(bad)])
        told = set((info.value.diag.message_detail or "").removesuffix(".").split("; "))
        with refused(tx, "JB010"):
            tx.execute(CREATE, [None])
    assert told == {
        "name is blank",
        "description is not text",
        "idempotency_key is not a text of 1 to 200 characters",
        "org_id is not a uuid",
    } | {sentence for _, severity, sentence in problems(tx, MANY) if severity == "error"}


def test_a_job_whose_planning_fails_leaves_nothing(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    tx.execute(
        "create function pg_temp.fail() returns trigger language plpgsql as"
        " $$ begin raise exception 'no room'; end $$;"
        " create trigger fail before insert on job_tasks execute function pg_temp.fail()"
    )
    with without_a_trace(tx), as_tenant(tx, A), refused(tx, "P0001", "no room"):
        tx.execute(CREATE, [Jsonb({**GUIDE, "idempotency_key": "k"})])


def test_the_same_idempotency_key_gives_the_same_job(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    payload = {**GUIDE, "idempotency_key": "'; drop table jobs; -- \u6f22"}
    with as_tenant(tx, A):
        job = row(tx, CREATE, Jsonb(payload))
    assert job["params"] == GUIDE["params"], "the key is not part of the job"
    with without_a_trace(tx), as_tenant(tx, A):
        assert row(tx, CREATE, Jsonb(payload)) == job
        assert row(tx, CREATE, Jsonb({**payload, "name": "another"})) == job
    with as_tenant(tx, A):
        assert row(tx, CREATE, Jsonb({**payload, "idempotency_key": "other"}))["id"] != job["id"]
    with as_tenant(tx, B):
        theirs = row(tx, CREATE, Jsonb(payload))
    assert (theirs["org_id"], theirs["id"] == job["id"]) == (B, False)
    world.move_job(tx, job["id"], "cancelled")
    with as_tenant(tx, A):
        assert row(tx, CREATE, Jsonb(payload))["status"] == "cancelled"
    tx.execute("delete from jobs where id = %s", [job["id"]])
    with as_tenant(tx, A):
        assert row(tx, CREATE, Jsonb(payload))["id"] != job["id"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_sessions_with_the_same_key_the_second_waits_for_the_first(
    stage: Stage, end: str
) -> None:
    first, second = stage.session(), stage.session()
    first.run("select upsert_contacts(%s)", [Jsonb([person("c1")])])
    payload = [Jsonb({**GUIDE, "idempotency_key": "once"})]
    first.begin()
    ((job,),) = first.run("select id from create_job(%s)", payload)
    step = second.start("select id from create_job(%s)", payload)
    assert step.waits()
    assert first.end(end) == "ok"
    ((same,),) = step.rows()
    assert (same == job) == (end == "commit")
    assert column(stage.watch, "select id from jobs") == [same]
    assert column(stage.watch, "select step from job_tasks order by step") == [1, 2]
    stage.rest()


def test_sessions_with_different_keys_do_not_wait_for_each_other(stage: Stage) -> None:
    first, second = stage.session(), stage.session()
    first.begin()
    first.run(CREATE, [Jsonb({**GUIDE, "idempotency_key": "one"})])
    step = second.start(CREATE, [Jsonb({**GUIDE, "idempotency_key": "two"})])
    assert step.ends()
    assert step.outcome() == first.end() == "ok"


def test_the_service_role_has_to_say_for_whom(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    with as_service(tx):
        with refused(tx, "JB010", "the job cannot be created") as info:
            tx.execute(CREATE, [Jsonb(GUIDE)])
        assert info.value.diag.message_detail == (
            "org_id is missing, and nobody is signed in whose own it could be."
        )
        job = row(tx, CREATE, Jsonb({**GUIDE, "org_id": str(A)}))
    assert (job["org_id"], job["created_by"], job["tasks_total"]) == (A, None, 2)


def test_a_job_is_created_in_no_organisation_one_is_not_of(tx: psycopg.Connection) -> None:
    call = [Jsonb({**GUIDE, "org_id": str(A).upper()})]
    with as_tenant(tx, B), refused(tx, "JB020", f'organisation "{A}" was not found or is not'):
        tx.execute(CREATE, call)
    tx.execute("select jobsdb.add_org_member(%s, %s)", [B, A])
    with as_tenant(tx, B):
        job = row(tx, CREATE, *call)
    assert (job["org_id"], job["created_by"]) == (A, B)


# --------------------------------------------------------------------------------------- audience

ADDRESSES = [
    "ann@example.com",
    " Ann.Lee+tag@Example.CO.UK ",
    "o'brien@example.ie",
    "a_b-c!#$%&*/=?^`{|}~@sub.domain.example.com",
    "j\u00f6rg@m\u00fcnchen.example",
    "1@2.example",
    "l" * 64 + "@example.com",
]
NO_ADDRESSES = [
    "ann", "ann@", "@example.com", "ann@example", "ann@@example.com", "a@b@example.com",
    "ann lee@example.com", "ann@exam ple.com", "ann@example..com", ".ann@example.com",
    "ann.@example.com", "a..b@example.com", "ann@.example.com", "ann@-x.example",
    "ann@example.com.", "ann@example.c", "ann@sub.example.c",
    "Ann <ann@example.com>", "ann@example.com, b@example.com",
    "ann@example.com\nBcc: b@example.com", "ann\t@example.com", "ann@[127.0.0.1]", "ann@ex_x.com",
    "ann@example.com;", '"ann"@example.com', "ann\\@example.com", "ann(x)@example.com",
    "mailto:ann@example.com", "ann@example.com?subject=x", "ann@example.com/x", "\x01@example.com",
    "l" * 65 + "@example.com", "a@" + "d" * 250 + ".com", "{{email}}", "'; drop table jobs; --",
    "ann\u2028@example.com", "ann\x85@example.com",
]  # fmt: skip


def test_what_is_no_address_gets_no_e_mail(tx: psycopg.Connection) -> None:
    good = {f"good {n}": address for n, address in enumerate(ADDRESSES)}
    bad = {f"bad {n}": address for n, address in enumerate(NO_ADDRESSES)}
    add(tx, *(person(key, address) for key, address in {**good, **bad}.items()))
    add(tx, person("null", None), person("empty", " "), {"contact_key": "x", "groups": ["AMC"]})
    found = reasons(tx, campaign(tx))
    assert {key: bad[key] for key in bad if found[key] != "bad_address"} == {}
    assert {key: good[key] for key in good if found[key]} == {}
    assert {found["null"], found["empty"], found["x"]} == {"no_address"}
    assert len(found) == len(good) + len(bad) + 3


def test_of_contacts_with_one_address_the_first_by_key_counts(tx: psycopg.Connection) -> None:
    add(tx, person("c2", "ann@example.com"), person("c10", " ANN@Example.com"), person("c3"),
        person("c1", "ann@example.com", groups=["other"]))  # fmt: skip
    assert reasons(tx, campaign(tx)) == {"c10": None, "c2": "duplicate_address", "c3": None}


def suppress(
    conn: psycopg.Connection, scope: str, value: str, org: UUID = A, days: int | None = None
) -> None:
    conn.execute(
        "insert into jobsdb.suppressions (org_id, scope, value, reason, expires_at)"
        " values (%s, %s, %s, 'unsubscribe', now() + %s::interval)",
        [org, scope, value, None if days is None else timedelta(days=days)],
    )


def test_suppressed_addresses_get_no_e_mail(tx: psycopg.Connection) -> None:
    add(tx, *(person(key, f"{key.upper()}@{key}.Example.com") for key in "abcdefghi"))
    suppress(tx, "address", "a@a.example.com")
    suppress(tx, "domain", "b.example.com")
    suppress(tx, "hash", hashlib.sha256(f"{A} c@c.example.com".encode()).hexdigest())
    suppress(tx, "hash", hashlib.sha256(f"{B} h@h.example.com".encode()).hexdigest())
    suppress(tx, "address", "d@d.example.com", EVERY_ORG)
    suppress(tx, "domain", "e.example.com", A, days=1)
    suppress(tx, "address", "f@f.example.com", A, days=-1)
    suppress(tx, "address", "g@g.example.com", B)
    suppress(tx, "address", "h.example.com")
    for scope, value in (("address", "a@a.example.com"), ("domain", "a.example.com")):
        suppress(tx, scope, value, EVERY_ORG)
    found = reasons(tx, campaign(tx))
    assert [key for key in sorted(found) if found[key]] == list("abcde")
    assert {found[key] for key in "abcde"} == {"suppressed"}


def test_who_lacks_a_variable_is_left_out_only_on_demand(tx: psycopg.Connection) -> None:
    templates = {"intro": "Subject: {{a}}\nBody: {{b|x}} {{email}} {{contact_id}} {{ours}}",
                 "unsent": "{{z}}", "followup": "Subject: S\nBody: {{c}}"}  # fmt: skip
    given: dict[str, Any] = {
        "templates": templates,
        "cadence": {"day0": True, "day4": True},
        "variables": {"ours": "we"},
    }
    add(tx, person("all", a=1, c=False), person("no_a", c="x"), person("empty_c", a="x", c=""),
        person("null_c", a="x", c=None))  # fmt: skip
    for on_missing in (None, "review"):
        assert set(reasons(tx, campaign(tx, on_missing=on_missing, **given)).values()) == {None}
    found = reasons(tx, campaign(tx, on_missing="exclude", **given))
    assert found.pop("all") is None
    assert found == dict.fromkeys(["no_a", "empty_c", "null_c"], "missing_variable")


def test_groups_and_filter_say_whom_a_campaign_addresses(tx: psycopg.Connection) -> None:
    add(tx, person("c1", state="FL", active=True, tags=["a", "b"], at={"x": 1, "y": 2}),
        person("c2", groups=["AMC", "VIP"], state="FL", active=False),
        person("c3", groups=["VIP"], state="GA", active=True), person("c4", groups=[]))  # fmt: skip
    everybody = {"c1", "c2", "c3", "c4"}
    for group, expect in (
        ("AMC", {"c1", "c2"}),
        (["AMC", "VIP"], {"c1", "c2", "c3"}),
        (["VIP", "none"], {"c2", "c3"}),
        ([], set()),
        ("amc", set()),
        ("'; drop table jobs", set()),
    ):
        assert addressed(tx, target_group=group) == expect, group
    for filter_, expect in (
        ({}, everybody),
        ({"state": "FL"}, {"c1", "c2"}),
        ({"state": "FL", "active": True}, {"c1"}),
        ({"tags": ["b"]}, {"c1"}),
        ({"at": {"x": 1}}, {"c1"}),
        ({"state": "fl"}, set()),
        ({"active": "true"}, set()),
    ):
        assert addressed(tx, target_group=None, target_filter=filter_) == expect, filter_
    assert addressed(tx, target_group="VIP", target_filter={"active": True}) == {"c3"}
    assert addressed(tx, target_group=None) == set()


def test_contacts_of_other_organisations_are_in_no_audience(tx: psycopg.Connection) -> None:
    add(tx, person("ours"), person("shared", "a@example.com"))
    add(tx, person("theirs"), person("shared", "b@example.com"), org=B)
    assert addressed(tx, A, target_group=None, target_filter={}) == {"ours", "shared"}
    assert addressed(tx, B, target_group=None, target_filter={}) == {"theirs", "shared"}
    assert column(tx, "select email from jobsdb.job_contacts where contact_key = 'shared'"
                  " order by org_id") == ["a@example.com", "b@example.com"]  # fmt: skip


def test_an_audience_is_frozen_when_the_job_is_created(tx: psycopg.Connection) -> None:
    add(tx, person("c1", city="Rome"), person("c2", None), person("c3", "C1@example.com"))
    job = campaign(tx)
    read = "select * from jobsdb.job_contacts where job_id = %s order by contact_key"
    before = rows(tx, read, job)
    assert [each["attributes"] for each in before] == [{"city": "Rome"}, {}, {}]
    assert before[0]["anchor_at"] is None
    add(tx, person("c1", "new@example.com", groups=[]), person("c2"), person("c4"))
    suppress(tx, "domain", "example.com")
    world.move_job(tx, job, "running")
    assert plan(tx, job) == 0
    assert rows(tx, read, job) == before
    with as_tenant(tx, A):
        shown = rows(tx, "select * from dry_run_job(%s)", job)
    assert [(each["contact_key"], each["reason"]) for each in shown] == [
        ("c1", None),
        ("c3", "duplicate_address"),
        ("c2", "no_address"),
    ]


def test_an_audience_that_was_frozen_empty_stays_empty(tx: psycopg.Connection) -> None:
    job = campaign(tx)
    add(tx, person("late"))
    assert plan(tx, job) == 0
    with as_tenant(tx, A):
        assert rows(tx, "select * from dry_run_job(%s)", job) == []
        assert rows(tx, "select * from preview_job(%s)", job) == []


def test_a_time_zone_the_server_does_not_know_is_none(tx: psycopg.Connection) -> None:
    known = ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC"]
    bogus = ["Mars/Base", "", "'; drop table jobs", "+05:00", "EST5EDT,M3.2.0", "Nowhere/Land+5",
             "../../etc/passwd", "x" * 5000]  # fmt: skip
    add(tx, *(person(f"c{n}", time_zone=zone) for n, zone in enumerate(known + bogus)))
    add(tx, person("none"), person("null", time_zone=None))
    job = campaign(tx)
    zones = "select contact_key, time_zone from jobsdb.job_contacts where job_id = %s"
    found = dict(tx.execute(zones, [job]).fetchall())
    assert {zone: found[f"c{n}"] for n, zone in enumerate(known + bogus)} == {
        **{zone: zone for zone in known},
        **dict.fromkeys(bogus),
    }
    assert (found["none"], found["null"]) == (None, None)


def test_contact_keys_and_groups_are_any_text(tx: psycopg.Connection) -> None:
    add(tx, *(person(key, f"c{n}@example.com", [key], name=key, **{key: key})
              for n, key in enumerate(ANY_TEXT)))  # fmt: skip
    body = {"subject": "S", "body": "{{contact_id}} {{name}}"}
    job = campaign(tx, target_group=ANY_TEXT, templates={"intro": body}, escape="none")
    assert reasons(tx, job) == dict.fromkeys(ANY_TEXT)
    ((_, planned),) = drafts(tx, job, 0)
    assert planned == sorted(ANY_TEXT)
    with as_tenant(tx, A):
        shown = rows(tx, "select * from preview_job(%s, 100)", job)
    assert {each["contact_key"]: each["body"] for each in shown} == {
        k: f"{k} {k}" for k in ANY_TEXT
    }
    for key in ANY_TEXT:
        assert addressed(tx, target_group=None, target_filter={key: key}) == {key}


# --------------------------------------------------------------------------------------- planning


def test_batch_0_is_planned_in_chunks_when_the_job_is_created(tx: psycopg.Connection) -> None:
    add(tx, *(person(f"c{n}") for n in range(1, 6)), person("out", None))
    job = campaign(tx, batch_size=2, variables={"company_name": "We"})
    chunks = [["c1", "c2"], ["c3", "c4"], ["c5"]]
    wanted = []
    for n, keys in enumerate(chunks):
        draft = {
            "target_type": "contact_group",
            "contact_ids": keys,
            "template": "intro",
            "variables": {"company_name": "We"},
            "touch": 0,
        }
        send = {"wait_for_approval": True, "touch": 0}
        pair = (("draft_email", draft, []), ("send_email", send, [2 * n + 1]))
        for step, (kind, its_input, after) in enumerate(pair, 2 * n + 1):
            wanted.append({"step": step, "kind": kind, "status": "pending", "input": its_input,
                           "depends_on": after})  # fmt: skip
    assert tasks(tx, job, 0) == wanted
    assert world.counters(tx, job) == {"tasks_total": 6}
    assert row(tx, "select batches, org_id from jobsdb.planned_jobs where job_id = %s", job) == {
        "batches": 1,
        "org_id": A,
    }


def test_without_a_size_ten_contacts_are_a_chunk_and_without_review_nothing_waits(
    tx: psycopg.Connection,
) -> None:
    add(tx, *(person(f"c{n:02}") for n in range(11)))
    job = campaign(tx, review_mode=False)
    assert [len(keys) for _, keys in drafts(tx, job, 0)] == [10, 1]
    sends = [task["input"] for task in tasks(tx, job, 0) if task["kind"] == "send_email"]
    assert sends == [{"wait_for_approval": False, "touch": 0}] * 2


def test_the_planned_tasks_are_worked_in_order(tx: psycopg.Connection) -> None:
    add(tx, *(person(f"c{n}") for n in range(2)))
    job = campaign(tx, status="running", batch_size=1)
    with as_service(tx):
        claimed = rows(tx, "select * from claim_tasks('w', 10)")
        assert [(task["job_id"], task["step"]) for task in claimed] == [(job, 1), (job, 3)]
        tx.execute("select complete_tasks(%s, %s)", [[claimed[0]["id"]], claimed[0]["lease_token"]])
        assert [task["step"] for task in rows(tx, "select * from claim_tasks('w', 10)")] == [2]


def test_planning_twice_plans_nobody_twice(tx: psycopg.Connection) -> None:
    add(tx, *(person(f"c{n}") for n in range(1, 4)))
    cadence = {"day0": True, "day4": True, "day10": True}
    job = campaign(
        tx,
        status="running",
        batch_size=1,
        cadence=cadence,
        templates={"intro": MAIL, "followup1": MAIL, "followup2": MAIL},
    )
    assert plan(tx, job) == plan(tx, job) == 0
    make_due(tx, job, 1, "c1", "c3")
    assert plan(tx, job) == 4
    assert plan(tx, job) == 0
    assert drafts(tx, job, 1) == [("followup1", ["c1"]), ("followup1", ["c3"])]
    assert [task["input"]["touch"] for task in tasks(tx, job, 1)] == [1] * 4
    make_due(tx, job, 1, "c2")
    make_due(tx, job, 2, "c1")
    assert plan(tx, job) == 4
    assert drafts(tx, job, 2) == [("followup1", ["c2"]), ("followup2", ["c1"])]
    assert [task["step"] for task in tasks(tx, job, 2)] == [1, 2, 3, 4]
    assert [task["depends_on"] for task in tasks(tx, job, 2)] == [[], [1], [], [3]]
    assert world.counters(tx, job) == {"tasks_total": 6 + 4 + 4}


def test_who_is_due_later_or_no_longer_active_is_not_planned(tx: psycopg.Connection) -> None:
    add(tx, *(person(f"c{n}") for n in range(1, 4)))
    job = campaign(tx, status="running", cadence={"day0": True, "day4": "intro"})
    make_due(tx, job, 1, "c1", "c2", "c3")
    which = "where job_id = %s and contact_key = %s"
    later = "update jobsdb.due_contacts set due_at = now() + interval '1 second' "
    tx.execute(later + which, [job, "c1"])
    stop = "update jobsdb.job_contacts set state = 'stopped', reason = 'reply' "
    tx.execute(stop + which, [job, "c2"])
    assert plan(tx, job) == 2
    assert drafts(tx, job, 1) == [("intro", ["c3"])]
    assert one(tx, "select next_at = now() + interval '1 second' from jobsdb.planned_jobs")


def test_a_batch_never_takes_a_number_that_is_taken(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job = campaign(tx, status="running", cadence={"day0": True, "day4": "intro"})
    world.new_task(tx, job, batch=7, step=1)
    make_due(tx, job, 1, "c1")
    assert plan(tx, job) == 2
    assert drafts(tx, job, 8) == [("intro", ["c1"])]


def test_a_job_that_has_not_begun_or_is_paused_plans_nothing_more(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job = campaign(tx, cadence={"day0": True, "day4": "intro"})
    make_due(tx, job, 1, "c1")
    assert plan(tx, job) == 0
    with as_tenant(tx, A):
        tx.execute("select transition_job_status(%s, 'running')", [job])
        tx.execute("select pause_job(%s)", [job])
    assert plan(tx, job) == 0
    with as_tenant(tx, A):
        tx.execute("select resume_job(%s)", [job])
    assert plan(tx, job) == 2


@pytest.mark.parametrize("status", FINISHED)
def test_a_finished_job_is_planned_no_more(tx: psycopg.Connection, status: str) -> None:
    add(tx, person("c1"))
    job = campaign(tx, target_group="nobody" if status == "succeeded" else "AMC", status=status)
    with as_tenant(tx, A), refused(tx, "JB040", "nothing more can be planned, because its job is"):
        tx.execute("select plan_next_batch(%s)", [job])


def test_a_job_without_an_audience_has_no_tasks(tx: psycopg.Connection) -> None:
    add(tx, person("c1", None), person("c2", groups=["VIP"]), person("c3", groups=["silent"]))
    nobody = campaign(tx, target_group="none")
    all_out = campaign(tx)
    silent = campaign(tx, target_group="silent", cadence=None, templates=None)
    plain = world.new_job(tx, A, "pending", **params(target_group="VIP"))
    assert reasons(tx, nobody) == reasons(tx, plain) == {}
    assert (reasons(tx, all_out), reasons(tx, silent)) == ({"c1": "no_address"}, {"c3": None})
    for job in (nobody, all_out, silent, plain):
        assert world.counters(tx, job) == {}
        assert plan(tx, job) == 0
        world.move_job(tx, job, "running")
        assert plan(tx, job) == 0
        world.move_job(tx, job, "succeeded")


def test_deleting_a_job_deletes_its_audience_and_its_key(tx: psycopg.Connection) -> None:
    add(tx, person("c1"), person("c2", None))
    kept = campaign(tx)
    before = everything(tx)
    with as_tenant(tx, A):
        job = row(tx, CREATE, Jsonb({**GUIDE, "idempotency_key": "k"}))["id"]
    for table in ("job_contacts", "job_keys", "planned_jobs"):
        assert one(tx, f"select count(*) from jobsdb.{table} where job_id = %s", job)
    with as_service(tx):
        tx.execute("delete from jobs where id = %s", [job])
    tx.execute("set constraints all immediate")
    for name in ("job_contacts", "job_keys", "planned_jobs", "contacts"):
        assert everything(tx)[f"jobsdb.{name}"] == before[f"jobsdb.{name}"]
    assert len(reasons(tx, kept)) == 2


CLAIM = "select * from claim_planning(%s, %s)"


def test_a_runner_plans_what_is_due_the_longest_waiting_first(tx: psycopg.Connection) -> None:
    for org in (A, B):
        add(tx, person("c1"), person("c2"), org=org)
    cadence = {"day0": True, "day4": "intro"}
    jobs = [campaign(tx, org, "running", cadence=cadence) for org in (A, A, B)]
    pending, paused = campaign(tx, cadence=cadence), campaign(tx, A, "running", cadence=cadence)
    campaign(tx, A, "cancelled", cadence=cadence)
    tx.execute("select pause_job(%s)", [paused])
    with as_service(tx):
        assert rows(tx, CLAIM, "w", None) == [], "nobody is due"
    for age, job in enumerate([*jobs, pending, paused]):
        make_due(tx, job, 1, "c1")
        tx.execute("update jobsdb.planned_jobs set next_at = now() - %s * interval '1 s'"
                   " where job_id = %s", [age, job])  # fmt: skip
    with as_service(tx):
        assert rows(tx, CLAIM, "w", UNKNOWN) == []
        found = [rows(tx, CLAIM, "w", org) for org in (A, None, None, None)]
    assert found == [[{"job_id": job, "tasks": 2}] for job in (jobs[1], jobs[2], jobs[0])] + [[]]
    for job in jobs:
        assert drafts(tx, job, 1) == [("intro", ["c1"])]
    for name in ("", None, "w" * 201):
        with as_service(tx), refused(tx, "JB011", "a planner has to say its name"):
            tx.execute(CLAIM, [name, None])


def due_campaign(stage: Stage) -> UUID:
    """A running job on a stage with two contacts; the second e-mail of the first is due."""
    tenant = stage.session()
    tenant.run("select upsert_contacts(%s)", [Jsonb([person("c1"), person("c2")])])
    given = params(cadence={"day0": True, "day4": "intro"})
    ((job,),) = tenant.run("select id from create_job(%s)", [Jsonb({"name": "x", "params": given})])
    tenant.run("select transition_job_status(%s, 'running')", [job])
    make_due(stage.watch, job, 1, "c1")
    return job


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_planners_at_once_plan_once(stage: Stage, end: str) -> None:
    job = due_campaign(stage)
    first, second = stage.session(), stage.session()
    first.begin()
    assert first.run("select plan_next_batch(%s)", [job]) == [(2,)]
    step = second.start("select plan_next_batch(%s)", [job])
    assert step.waits()
    first.end(end)
    assert step.rows() == [(0 if end == "commit" else 2,)]
    assert drafts(stage.watch, job, 1) == [("intro", ["c1"])]
    stage.rest()


def test_two_planners_of_different_contacts_make_two_batches(stage: Stage) -> None:
    job = due_campaign(stage)
    first, second = stage.session(), stage.session()
    first.begin()
    assert first.run("select plan_next_batch(%s)", [job]) == [(2,)]
    add_due(stage.watch, job, 1, "c2")
    step = second.start("select plan_next_batch(%s)", [job])
    assert step.waits()
    first.end()
    assert step.rows() == [(2,)]
    assert drafts(stage.watch, job, 1) == [("intro", ["c1"])]
    assert drafts(stage.watch, job, 2) == [("intro", ["c2"])]


def test_no_other_runner_gets_a_job_that_is_being_planned(stage: Stage) -> None:
    job = due_campaign(stage)
    first, second = stage.session("service_role"), stage.session("service_role")
    first.begin()
    assert first.run(CLAIM, ["first", None]) == [(job, 2)]
    step = second.start(CLAIM, ["second", None])
    assert step.ends()
    assert step.rows() == []
    first.end()
    assert second.run(CLAIM, ["second", None]) == []
    assert drafts(stage.watch, job, 1) == [("intro", ["c1"])]


def test_planning_waits_for_whoever_cancels_the_job_and_then_plans_nothing(stage: Stage) -> None:
    job = due_campaign(stage)
    canceller, planner = stage.session(), stage.session()
    runner = stage.session("service_role")
    canceller.begin()
    canceller.run("select cancel_job(%s)", [job])
    assert runner.run(CLAIM, ["w", None]) == [], "a runner does not wait"
    step = planner.start("select plan_next_batch(%s)", [job])
    assert step.waits()
    canceller.end()
    refusal = step.rows_or_error()
    assert step.outcome() == "JB040"
    assert "nothing more can be planned, because its job is finished" in str(refusal)
    assert runner.run(CLAIM, ["w", None]) == []
    assert tasks(stage.watch, job, 1) == []
    stage.rest()


# --------------------------------------------------------------------------------------- contacts


def contacts(conn: psycopg.Connection, org: UUID = A) -> dict[str, dict[str, Any]]:
    found = rows(
        conn,
        "select contact_key, email, groups, attributes, time_zone from jobsdb.contacts"
        " where org_id = %s",
        org,
    )
    return {each.pop("contact_key"): each for each in found}


def test_contacts_are_added_and_replaced(tx: psycopg.Connection) -> None:
    assert add(tx) == 0
    assert add(tx, {"contact_key": "c1"}, person(5, time_zone="UTC", a={"b": [1]})) == 2
    assert contacts(tx) == {
        "c1": {"email": None, "groups": [], "attributes": {}, "time_zone": None},
        "5": {"email": "5@example.com", "groups": ["AMC"], "attributes": {"a": {"b": [1]}},
              "time_zone": "UTC"},
    }  # fmt: skip
    assert add(tx, person("5", None, []), person("c2")) == 2
    assert contacts(tx)["5"] == contacts(tx)["c1"]
    assert contacts(tx).keys() == {"c1", "c2", "5"}
    assert contacts(tx, B) == {}


def test_of_contacts_with_the_same_key_the_last_counts(tx: psycopg.Connection) -> None:
    given = [person("c1", f"{n}@example.com") for n in range(50)]
    assert add(tx, *given, person("c2"), person("c1", "last@example.com")) == 2
    assert contacts(tx)["c1"]["email"] == "last@example.com"


BAD_KEY = "contact_key is not a text of 1 to 200 characters"
BAD_CONTACTS = [
    (5, "it is not an object"),
    ({}, BAD_KEY),
    ({"contact_key": ""}, BAD_KEY),
    ({"contact_key": None}, BAD_KEY),
    ({"contact_key": ["c1"]}, BAD_KEY),
    ({"contact_key": "k" * 201}, BAD_KEY),
    ({"contact_key": "c1", "email": 5}, "email is not text"),
    ({"contact_key": "c1", "email": "e" * 1001}, "email has more than 1000 characters"),
    ({"contact_key": "c1", "groups": "AMC"}, "groups is not an array of text"),
    ({"contact_key": "c1", "groups": ["AMC", 5]}, "groups is not an array of text"),
    ({"contact_key": "c1", "groups": [None]}, "groups is not an array of text"),
    ({"contact_key": "c1", "attributes": []}, "attributes is not an object"),
    ({"contact_key": "c1", "time_zone": {}}, "time_zone is not text"),
]


@pytest.mark.parametrize(("contact", "problem"), BAD_CONTACTS)
def test_a_contact_that_cannot_be_used_refuses_them_all(
    tx: psycopg.Connection, contact: object, problem: str
) -> None:
    with refused(tx, "JB011", "the contacts cannot be used") as info:
        add(tx, person("before"), contact, person("after"))
    assert (info.value.diag.message_detail or "").startswith(f"Contact 2 of the array: {problem}")
    assert contacts(tx) == {}


def test_contacts_are_an_array_of_moderate_length_and_size(tx: psycopg.Connection) -> None:
    call = "select upsert_contacts(%s)"
    with as_tenant(tx, A):
        for given in ("{}", "null", '"x"', None):
            with refused(tx, "JB011", "contacts have to be an array"):
                tx.execute(call, [given])
        with refused(tx, "JB050", "too many contacts in one call") as info:
            tx.execute(call, [Jsonb([{"contact_key": str(n)} for n in range(10_001)])])
        assert info.value.diag.message_detail == "There are 10001; at most 10000 are taken."
        assert one(tx, call, Jsonb([{"contact_key": str(n)} for n in range(10_000)])) == 10_000
        contact = '[{{"contact_key": "c1", "attributes": {{"a": {}}}}}]'
        with refused(tx, "JB012", "a contact is nested too deeply"):
            tx.execute(call, [contact.format("[" * 5000 + "]" * 5000)])
        with refused(tx, "JB012", "a contact is too large"):
            tx.execute(call, [contact.format(json.dumps("x" * MIB))])
        with refused(tx, "22P05"):
            tx.execute(call, ['[{"contact_key": "\\u0000"}]'])


def test_contacts_are_written_into_own_organisations_only(tx: psycopg.Connection) -> None:
    call = "select upsert_contacts(%s, %s)"
    given = Jsonb([person("c1")])
    for who, org, told in (
        (as_tenant(tx, B), A, A),
        (world.as_nobody(tx), None, "null"),
        (world.as_nobody(tx), A, A),
        (as_service(tx), None, "null"),
    ):
        said = f'organisation "{told}" was not found or is not yours'
        with who, refused(tx, "JB020", said) as info:
            tx.execute(call, [given, org])
        assert info.value.diag.message_detail == "The caller is no member of it."
    assert contacts(tx) == {}
    with as_service(tx):
        assert one(tx, call, given, A) == 1
    tx.execute("select jobsdb.add_org_member(%s, %s)", [B, A])
    with as_tenant(tx, B):
        assert one(tx, call, Jsonb([person("c2")]), A) == 1
    assert contacts(tx).keys() == {"c1", "c2"}


BIND = "select jobsdb.bind_host_contacts({})"
HOST = "'public.people', 'person', 'mail', 'tenant', 'lists', time_zone_column => 'zone'"


@pytest.fixture
def people(tx: psycopg.Connection) -> dict[str, str]:
    """Contacts in a table of the host, and contacts of ours nobody must look at."""
    tx.execute(
        "create table public.people (person uuid primary key default gen_random_uuid(),"
        " tenant uuid, mail text, lists text[], zone text, state text, age int)"
    )
    add(tx, person("ours"))
    found = tx.execute(
        "insert into public.people (tenant, mail, lists, zone, state, age) values"
        " (%(a)s, 'ann@example.com', '{AMC,VIP}', 'Europe/Berlin', 'FL', 30),"
        " (%(a)s, 'bob@example.com', '{VIP}', 'Mars/Base', 'FL', 40),"
        " (%(a)s, 'cid@example.com', null, null, 'GA', null),"
        " (%(a)s, null, '{AMC}', null, 'FL', null),"
        " (%(b)s, 'eve@example.com', '{AMC}', null, 'FL', 30),"
        " (null, 'joe@example.com', '{AMC}', null, 'FL', 30)"
        " returning coalesce(split_part(mail, '@', 1), 'nil'), person::text",
        {"a": A, "b": B},
    ).fetchall()
    return dict(found)


def test_a_table_of_the_host_is_read_instead_of_ours(
    tx: psycopg.Connection, people: dict[str, str]
) -> None:
    names = {key: name for name, key in people.items()}
    tx.execute(BIND.format(HOST))

    def who(**changes: Any) -> dict[str, str | None]:
        return {names[key]: why for key, why in reasons(tx, campaign(tx, **changes)).items()}

    assert who(target_group=None, target_filter={"state": "FL"}) == {
        "ann": None,
        "bob": None,
        "nil": "no_address",
    }
    assert who(target_group=None, target_filter={"age": 40, "state": "FL"}) == {"bob": None}
    assert who(target_group=None, target_filter={}).keys() == {"ann", "bob", "cid", "nil"}
    zones = "select time_zone from jobsdb.job_contacts where contact_key = %s"
    assert set(column(tx, zones, people["ann"])) == {"Europe/Berlin"}
    assert set(column(tx, zones, people["bob"])) == {None}
    assert who(target_group="AMC") == {"ann": None, "nil": "no_address"}
    assert who(target_group=["AMC", "VIP"]).keys() == {"ann", "bob", "nil"}
    assert who(target_group="ann@example.com") == {}
    tx.execute(BIND.format("null"))
    assert addressed(tx) == {"ours"}


def test_a_view_of_the_host_with_one_group_and_json_attributes_can_be_bound(
    tx: psycopg.Connection, people: dict[str, str]
) -> None:
    tx.execute(
        'create view public."Odd View" as select tenant as org_id, person as id, mail as "E-Mail",'
        " case when state = 'FL' then 'AMC' end as \"Group\","
        " case when age is not null then jsonb_build_object('age', age, 'first_name', 'Ann') end"
        " as data from public.people"
    )
    tx.execute(
        BIND.format(
            "'public.\"Odd View\"', email_column => 'E-Mail', groups_column => 'Group',"
            " attributes_column => 'data'"
        )
    )
    assert addressed(tx) == {people["ann"], people["bob"]}
    assert addressed(tx, target_filter={"age": 30}) == {people["ann"]}
    assert people["cid"] in addressed(tx, target_group=None, target_filter={})
    assert addressed(tx, B) == {people["eve"]}
    job = campaign(tx, target_filter={"age": 30})
    with as_tenant(tx, A):
        assert rows(tx, "select recipient, body from preview_job(%s)", job) == [
            {"recipient": "ann@example.com", "body": "Dear Ann"}
        ]


def test_a_contact_the_view_of_the_host_shows_twice_is_in_once(
    tx: psycopg.Connection, people: dict[str, str]
) -> None:
    tx.execute("create view public.twice as select p.* from public.people p, generate_series(1, 2)")
    tx.execute(BIND.format(HOST.replace("people", "twice")))
    job = campaign(tx, target_group=None, target_filter={"age": 30})
    assert reasons(tx, job) == {people["ann"]: None}


WRONG_HOSTS = [
    ("'public.people'", "It has no column email, id, org_id."),
    ("'public.people', 'person', 'mail', 'tenant', 'nope', 'nada'", "It has no column nada, nope."),
    ("'public.people', 'person', 'mail', 'mail'", "Column mail is text, not uuid."),
    (
        "'public.people', 'person', 'mail', 'tenant', null, 'state'",
        "Column state is text, not jsonb.",
    ),
]


@pytest.mark.parametrize(("bound", "detail"), WRONG_HOSTS)
@pytest.mark.usefixtures("people")
def test_a_relation_that_does_not_fit_is_not_bound(
    tx: psycopg.Connection, bound: str, detail: str
) -> None:
    with refused(tx, "JB092", "public.people cannot be bound as contacts") as info:
        tx.execute(BIND.format(bound))
    words = (info.value.diag.message_detail or "").replace(",", " ").replace(".", " ").split()
    assert sorted(words) == sorted(detail.replace(",", " ").replace(".", " ").split())
    assert addressed(tx) == {"ours"}


@pytest.mark.usefixtures("people")
def test_groups_are_text_or_an_array_of_text(tx: psycopg.Connection) -> None:
    with refused(tx, "JB092", "public.people cannot be bound as contacts"):
        tx.execute(BIND.format(HOST.replace("lists", "age")))


@pytest.mark.usefixtures("people")
def test_nobody_but_the_owner_binds_contacts_of_the_host(tx: psycopg.Connection) -> None:
    for who in (as_tenant(tx, A), as_service(tx), as_anon(tx)):
        with who, refused(tx, "42501", "permission denied"):
            tx.execute(BIND.format(HOST))


# --------------------------------------------------------------------------- preview and dry run

TWO_MAILS = {
    "cadence": {"day0": True, "day4": True},
    "templates": {
        "intro": "Subject: Hi {{first_name}}\nBody: {{first_name}} & {{company|we}}",
        "followup": {"body": "<p>{{first_name}} {{email}}"},
    },
    "variables": {"company": "R&D"},
}


def previewed(conn: psycopg.Connection, job: UUID, *n: int) -> list[tuple[Any, ...]]:
    call = f"select * from preview_job(%s{', %s' * len(n)})"
    with without_a_trace(conn), as_tenant(conn, A):
        return conn.execute(call, [job, *n]).fetchall()


@pytest.mark.parametrize("enrolled", [False, True])
def test_a_preview_shows_the_e_mails_and_does_nothing(
    tx: psycopg.Connection, enrolled: bool
) -> None:
    add(tx, person("c1", first_name="<Ann>"), person("c2", first_name=""), person("c0", None))
    given = params(**TWO_MAILS)
    job = campaign(tx, **given) if enrolled else world.new_job(tx, A, "pending", **given)
    e1, e2 = "c1@example.com", "c2@example.com"
    first, gone = "{{first_name}}", ["first_name"]
    assert previewed(tx, job) == [
        ("c1", 0, 0, "intro", e1, "Hi <Ann>", "&lt;Ann&gt; & R&amp;D", []),
        ("c1", 1, 4, "followup", e1, "", f"<p>&lt;Ann&gt; {e1}", ["subject"]),
        ("c2", 0, 0, "intro", e2, f"Hi {first}", f"{first} & R&amp;D", gone),
        ("c2", 1, 4, "followup", e2, "", f"<p>{first} {e2}", [*gone, "subject"]),
    ]
    assert [key for key, *_ in previewed(tx, job, 1)] == ["c1", "c1"]
    assert previewed(tx, job, 0) == previewed(tx, job, -5) == []
    assert len(previewed(tx, job, 2**31 - 1)) == 4


def test_a_preview_is_escaped_as_the_job_says_and_skips_touches_without_a_template(
    tx: psycopg.Connection,
) -> None:
    add(tx, *(person(f"c{n}", first_name="O'Brien") for n in range(5)))
    job = campaign(tx, escape="none", cadence={"day0": True, "day4": True})
    assert [(found[0], found[6]) for found in previewed(tx, job)] == [
        (f"c{n}", "Dear O'Brien") for n in range(3)
    ]


@pytest.mark.parametrize("enrolled", [False, True])
def test_a_dry_run_says_who_is_in_and_who_is_out_and_does_nothing(
    tx: psycopg.Connection, enrolled: bool
) -> None:
    add(tx, person("c2", " C2@example.com"), person("c1"), person("c3", "c1@example.com"),
        person("c4", None), person("c5", "bad"), person("c6"))  # fmt: skip
    suppress(tx, "address", "c6@example.com")
    job = campaign(tx) if enrolled else world.new_job(tx, A, "pending", **params())
    with without_a_trace(tx), as_tenant(tx, A):
        found = tx.execute("select * from dry_run_job(%s)", [job]).fetchall()
    assert [(key, (email or "").strip(), is_in, why) for key, email, is_in, why in found] == [
        ("c1", "c1@example.com", True, None),
        ("c2", "C2@example.com", True, None),
        ("c5", "bad", False, "bad_address"),
        ("c3", "c1@example.com", False, "duplicate_address"),
        ("c4", "", False, "no_address"),
        ("c6", "c6@example.com", False, "suppressed"),
    ]


# ----------------------------------------------------------------------------------------- tenancy

FUNCTIONS = {
    "create_job(null)": None,
    "plan_next_batch(%s)": "JB020",
    "preview_job(%s)": "JB020",
    "dry_run_job(%s)": "JB020",
    "upsert_contacts('[]')": None,
    "validate_job_params('{}')": None,
    "explain_job_params('{}')": None,
    "render_template('{}')": None,
    "claim_planning('w')": "42501",
}


def test_a_foreign_and_an_unknown_job_are_refused_alike(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job, finished = campaign(tx), campaign(tx, status="cancelled")
    for call in (name for name, code in FUNCTIONS.items() if code == "JB020"):
        told = set()
        for target in (job, finished, UNKNOWN, None):
            said = f'job "{target or "null"}" was not found or is not yours'
            with as_tenant(tx, B), refused(tx, "JB020", said) as info:
                tx.execute(f"select * from {call}", [target])
            told.add((info.value.diag.message_detail, info.value.diag.message_hint))
        assert len(told) == 1, call
        with world.as_nobody(tx), refused(tx, "JB020"):
            tx.execute(f"select * from {call}", [job])
    assert tasks(tx, job, 1) == []


def test_the_service_role_and_members_act_for_an_organisation(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job = campaign(tx)
    tx.execute("select jobsdb.add_org_member(%s, %s)", [B, A])
    for who in (as_service(tx), as_tenant(tx, B), as_tenant(tx, A)):
        with who:
            assert one(tx, "select plan_next_batch(%s)", job) == 0
            assert one(tx, "select contact_key from dry_run_job(%s)", job) == "c1"
            assert one(tx, "select contact_key from preview_job(%s)", job) == "c1"


def test_somebody_not_signed_in_calls_none_of_the_functions(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    job = campaign(tx)
    for call, code in FUNCTIONS.items():
        values = [job] if "%s" in call else []
        with as_anon(tx, sub=str(A)), refused(tx, "42501", "permission denied"):
            tx.execute(f"select * from {call}", values)
        if code == "42501":
            with as_tenant(tx, A), refused(tx, "42501", "permission denied"):
                tx.execute(f"select * from {call}")


def test_the_tables_of_campaigns_are_reached_through_functions_only(tx: psycopg.Connection) -> None:
    add(tx, person("c1"))
    campaign(tx)
    suppress(tx, "address", "a@example.com")
    for table in TABLES:
        for who in (as_tenant(tx, A), as_service(tx), as_anon(tx), world.as_nobody(tx)):
            with who:
                for attempt in ("select from jobsdb.{}", "delete from jobsdb.{}",
                                "insert into jobsdb.{} default values", "truncate jobsdb.{}",
                                "copy jobsdb.{} to stdout"):  # fmt: skip
                    assert outcome(tx, attempt.format(table)) == "42501", table
