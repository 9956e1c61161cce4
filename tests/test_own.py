"""`jobsdb seed --from --params`: a developer's own contacts and campaign, or one clear sentence."""

import json
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

import commands
from helpers import as_tenant
from jobsdb import errors
from jobsdb.campaigns import own, samples, seed
from test_seed import contents, one
from world import column, rows

A = samples.ORGANISATIONS["A"]
CSV = (
    "ID,email,Groups,time_zone,first_name,active\n"
    'c1,ann@example.com,AMC;VIP,Europe/Berlin,"Ann, Dr.",true\n'
    "c2,ANN@example.com,AMC,,Ann,true\n"
    "c3,not an address,AMC,,Bob,true\n"
    ",,,,,\n"
    "\n"
    "c4,cleo@example.com,AMC,,Cleo,false\n"
    "c5,dora@example.com,other,,Dora,true\n"
    "c6,erin@example.com,AMC,,,true\n"
)
PARAMS = {
    "target_group": "AMC",
    "target_filter": {"active": True},
    "cadence": {"day0": True, "day3": True},
    "templates": {"intro": "Subject: Hello {{first_name}}\nBody: Hi"},
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return a file of contacts and one of params."""
    contacts, params = tmp_path / "contacts.csv", tmp_path / "spring.json"
    contacts.write_text(CSV)
    params.write_text(json.dumps(PARAMS))
    return contacts, params


def test_ones_own_campaign_is_created_and_everybody_accounted_for(
    url: str,
    db: psycopg.Connection,
    files: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert seed.run(url, contacts=files[0], params=files[1]) == 0
    said = capsys.readouterr().out
    assert "6 contacts written." in said
    assert "cadence.day3" in said  # it has no template: a warning, not a refusal
    assert "In: 2. Out: 2 (1 bad_address, 1 duplicate_address)." in said
    (job,) = rows(db, "select * from public.jobs")
    assert (str(job["org_id"]), job["name"], job["status"]) == (A, "spring", "pending")
    assert job["params"] == PARAMS
    assert str(job["id"]) in said
    with as_tenant(db, A):
        found = db.execute("select contact_key, reason from dry_run_job(%s)", (job["id"],))
        assert dict(found.fetchall()) == {
            "c1": None, "c6": None, "c2": "duplicate_address", "c3": "bad_address",
        }  # fmt: skip
    assert one(db, "select count(*) from public.job_tasks")[0] == 2
    contact = rows(db, "select * from jobsdb.contacts where contact_key = 'c1'")[0]
    assert contact["groups"] == ["AMC", "VIP"]
    assert contact["attributes"] == {"first_name": "Ann, Dr.", "active": True}
    assert contact["time_zone"] == "Europe/Berlin"
    assert column(db, "select attributes from jobsdb.contacts where contact_key = 'c6'") == [
        {"active": True}
    ]


def test_a_whole_body_goes_into_the_organisation_asked_for(
    url: str, db: psycopg.Connection, files: tuple[Path, Path]
) -> None:
    org, user = str(uuid4()), str(uuid4())
    files[1].write_text(json.dumps({"name": "Q1", "description": "…", "params": PARAMS}))
    assert seed.run(url, contacts=files[0], params=files[1], org=org, as_user=user) == 0
    with as_tenant(db, user):
        assert column(db, "select name from jobs") == ["Q1"]
        assert str(one(db, "select created_by from jobs")[0]) == user
    assert one(db, "select count(*) from jobsdb.contacts where org_id = %s", org)[0] == 6


def test_many_contacts_go_in_several_calls(
    url: str, db: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.csv"
    lines = [f"k{n};p{n}@example.com;G" for n in range(2_345)]
    path.write_text("\n".join(["contact_key;email;groups", *lines]), encoding="utf-8-sig")
    sizes = []
    parts = own._parts
    monkeypatch.setattr(
        own, "_parts", lambda all_: [sizes.append(len(p)) or p for p in parts(all_)]
    )
    assert seed.run(url, contacts=path) == 0
    assert sizes == [1_000, 1_000, 345]
    assert one(db, "select count(*), min(email) from jobsdb.contacts where groups = '{G}'") == (
        2_345,
        "p0@example.com",
    )
    assert one(db, "select count(*) from public.jobs")[0] == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "has no column contact_key or id"),
        (b"email\na@example.com\n", "has no column contact_key or id"),
        (b"id,email,email\n1,a,b\n", '2 columns "email"'),
        (b"id,,email\n1,2,3\n", "a column without a name"),
        (b"id,email\n1,a@example.com,more\n", "line 2 of .* has 3 cells"),
        (b"id,email\n1,a\n,b@example.com\n", "line 3 of .* has no contact_key"),
        (b'id,email\n1,"a"b\n', r"is no CSV file: .*\(line 2\)"),
        (b"id,email\n1,J\xfcrgen\n", r"is not UTF-8 \(byte 13\)"),
        ("id,email\n1,a\n".encode("utf-16-le"), "NUL"),
    ],
)
def test_a_file_that_is_no_list_of_contacts_is_named(
    tmp_path: Path, text: bytes, sentence: str
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(text)
    with pytest.raises(errors.UsageError, match=sentence) as refused:
        own.read_contacts(path)
    assert refused.value.hint
    assert str(path) in refused.value.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "is no JSON file"),
        (b"[1]", "is no JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"[" * 100_000, "is no JSON file"),
    ],
)
def test_a_file_that_is_no_params_is_named(tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "my.json"
    path.write_bytes(text)
    with pytest.raises(errors.UsageError, match=sentence) as refused:
        own.read_payload(path)
    assert refused.value.hint


def test_what_cannot_be_read_is_a_matter_of_usage(url: str, tmp_path: Path) -> None:
    said = commands.run("seed", "-d", url, "--from", str(tmp_path / "none.csv"))
    assert said.returncode == errors.Exit.USAGE
    assert said.stdout == ""
    error, hint = said.stderr.splitlines()  # nobody was asked for a connection
    assert error.startswith("error: ")
    assert error.endswith("none.csv cannot be read: No such file or directory")
    assert hint.startswith("hint: ")
    with pytest.raises(errors.UsageError, match="cannot be read: Is a directory"):
        own.read_payload(tmp_path)


def test_params_that_can_never_run_leave_nothing(
    url: str,
    db: psycopg.Connection,
    files: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files[1].write_text(json.dumps({**PARAMS, "batch_size": 0, "cadence": {"dayX": True}}))
    before = contents(db)
    with pytest.raises(errors.JobsdbError, match="the job cannot be created") as refused:
        seed.run(url, contacts=files[0], params=files[1])
    assert refused.value.sqlstate == "JB010"
    assert "batch_size" in refused.value.detail
    said = capsys.readouterr().out
    assert "cadence.dayX" in said
    assert "batch_size is not a whole number" in said
    assert contents(db) == before


def test_a_host_with_contacts_of_its_own_is_told_so(
    url: str, db: psycopg.Connection, files: tuple[Path, Path]
) -> None:
    db.execute(
        "create table public.people (id int, org_id uuid, email text, groups text[]);"
        f"insert into public.people values (1, '{A}', 'a@example.com', '{{AMC}}');"
        "select jobsdb.bind_host_contacts('public.people', groups_column => 'groups')"
    )
    with pytest.raises(errors.Refused, match=r"address the contacts of public\.people"):
        seed.run(url, contacts=files[0], params=files[1])
    assert one(db, "select count(*) from jobsdb.contacts")[0] == 0
    files[1].write_text(json.dumps({**PARAMS, "target_filter": {}}))
    assert seed.run(url, params=files[1]) == 0
    assert column(db, "select contact_key from jobsdb.job_contacts") == ["1"]


def test_a_long_audience_is_cut_short(
    url: str, tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"k{n},p{n}@example.com,AMC,true" for n in range(own.SHOWN + 5)]
    files[0].write_text("\n".join(["id,email,groups,active", *lines, "zz,,AMC,true"]))
    assert seed.run(url, contacts=files[0], params=files[1]) == 0
    said = capsys.readouterr().out
    assert "no_address" in said.splitlines()[said.splitlines().index(
        next(line for line in said.splitlines() if "in, or why not" in line)
    ) + 1]  # fmt: skip
    assert "… and 6 more: select * from dry_run_job(" in said


@pytest.mark.parametrize("also", [{"names": ["test-job"]}, {"later": "1d"}, {"remove": True}])
def test_own_and_samples_are_two_commands(url: str, files: tuple[Path, Path], also: dict) -> None:
    with pytest.raises(errors.UsageError, match=r"your own|contradict"):
        seed.run(url, contacts=files[0], **also)


def test_where_others_have_jobs_it_asks_first(
    url: str, db: psycopg.Connection, files: tuple[Path, Path]
) -> None:
    with as_tenant(db, uuid4()):
        db.execute("insert into jobs (name) values ('mine')")
    with pytest.raises(errors.Refused, match="Load yours into it"):
        seed.run(url, contacts=files[0], params=files[1])
    assert one(db, "select count(*) from jobsdb.contacts")[0] == 0
