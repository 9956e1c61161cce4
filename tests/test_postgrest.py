"""The real `postgrest` client, as front end and back end have it, through a double of the server.

The double (postgrest_double.py) sends SQL in PostgREST's shapes to a database as Supabase hands it
out, as the role authenticator.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

import registries
import world
from postgrest_double import serving, token
from test_supabase import cluster as cluster
from test_supabase import database as database
from test_supabase import one_installer
from test_supabase import supabase as supabase
from world import A, B

PACKAGE = "postgrest==2.34.1"
BODY = {
    "name": "Test Job",
    "description": "First test job",
    "params": {
        "target_group": "AMC",
        "cadence": {"day0": True},
        "templates": {"intro": {"subject": "Hello {{first_name}}", "body": "Test email"}},
        "review_mode": True,
        "batch_size": 5,
    },
}
pytestmark = one_installer
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def postgrest(scratch: Path) -> Iterator[ModuleType]:
    """The client library, installed beside everything else for these tests only."""
    folder = str(registries.pip(scratch / "postgrest-client", PACKAGE))
    sys.path.append(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("postgrest")
        yield module
    sys.path.remove(folder)


@pytest.fixture
def client(
    postgrest: ModuleType, database: tuple[str, str], supabase: psycopg.Connection
) -> Iterator[Client]:
    """A function that signs in: as a tenant by id, as the back end, as nobody."""
    world.install(supabase)
    address = database[0].replace("postgres@", "authenticator@", 1)
    opened = []

    def sign_in(sub: object = None, role: str = "authenticated") -> Any:
        claims = {"role": role, **({"sub": str(sub)} if sub else {})}
        bearer = {} if role == "anon" else {"Authorization": f"Bearer {token(**claims)}"}
        opened.append(postgrest.SyncPostgrestClient(url, headers=bearer))
        return opened[-1]

    with serving(address) as url:
        yield sign_in
        for one in opened:
            one.session.close()


@pytest.fixture
def refused(postgrest: ModuleType) -> Callable[[Any, str, str], Any]:
    """A function that expects a request to be refused with a code and a message."""

    def expect(request: Any, code: str, text: str) -> Any:
        with pytest.raises(postgrest.APIError) as caught:
            request.execute()
        error = caught.value
        assert error.code == code, error
        assert text in error.message
        if code.startswith("JB"):
            assert error.details, "no details"
            assert error.hint, "no hint"
        return error

    return expect


def contacts(client: Any) -> None:
    people = [
        {"contact_key": f"c{n}", "email": f"c{n}@example.com", "groups": ["AMC"],
         "attributes": {"first_name": f"Ann {n}"}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    client.rpc("upsert_contacts", {"contacts": people}).execute()


def test_a_job_is_created_started_reviewed_and_cancelled(client: Client) -> None:
    ann, agent = client(A), client(role="service_role")
    contacts(ann)
    job = ann.rpc("create_job", BODY).execute().data
    assert (job["status"], job["org_id"], job["name"]) == ("pending", str(A), "Test Job")
    started = ann.rpc("transition_job_status", {"job_id": job["id"], "new_status": "running"})
    assert started.execute().data["status"] == "running"

    (task,) = agent.rpc("claim_tasks", {"worker": "w", "kinds": ["draft_email"]}).execute().data
    drafted = {"task_id": task["id"], "lease_token": task["lease_token"]}
    agent.rpc("draft_cards", drafted).execute()
    done = {"task_ids": [task["id"]], "lease_token": task["lease_token"]}
    agent.rpc("complete_tasks", done).execute()

    queue = ann.from_("review_queue").select("card_id", "content_hash").execute().data
    assert len(queue) == 3
    first, second, third = queue
    ann.rpc("review_card", {**pick(first), "decision": "approve"}).execute()
    ann.rpc("review_card", {**pick(second), "decision": "reject"}).execute()
    ann.from_("kanban_cards").update({"state": "approved"}).eq("id", third["card_id"]).execute()
    progress = ann.rpc("get_job_progress", {"job_id": job["id"]}).execute().data
    (progress,) = progress if isinstance(progress, list) else [progress]
    assert (progress["cards_approved"], progress["cards_rejected"]) == (2, 1)

    assert ann.rpc("cancel_job", {"job_id": job["id"]}).execute().data["status"] == "cancelled"
    seen = ann.from_("jobs").select("status").eq("id", job["id"]).execute().data
    assert seen == [{"status": "cancelled"}]


def pick(card: dict[str, Any]) -> dict[str, Any]:
    return {"card_id": card["card_id"], "expected_hash": card["content_hash"]}


def test_tables_are_written_as_the_guide_does(client: Client) -> None:
    ann = client(A)
    job = ann.from_("jobs").insert({"org_id": str(A), "name": "by hand"}).execute().data[0]
    task = {"job_id": job["id"], "step": 1, "kind": "research", "input": {}, "status": "pending"}
    (task,) = ann.from_("job_tasks").insert(task).execute().data
    assert (task["org_id"], task["status"]) == (str(A), "pending")
    both = [{"job_id": job["id"], "step": n, "kind": "research"} for n in (2, 3)]
    assert len(ann.from_("job_tasks").insert(both).execute().data) == 2
    running = ann.from_("jobs").update({"status": "running"}).eq("id", job["id"]).execute()
    assert running.data[0]["status"] == "running"
    assert running.data[0]["tasks_total"] == 3


def test_tenants_do_not_see_each_other(client: Client, refused: Callable[..., Any]) -> None:
    ann, bob = client(A), client(B)
    job = ann.from_("jobs").insert({"org_id": str(A), "name": "hers"}).execute().data[0]["id"]
    assert bob.from_("jobs").select("*").execute().data == []
    assert bob.rpc("get_job_cards", {"job_id": job}).execute().data == []
    refused(bob.rpc("cancel_job", {"job_id": job}), "JB020", "was not found or is not yours")
    refused(bob.from_("jobs").insert({"org_id": str(A), "name": "x"}), "42501", "row-level")
    assert bob.from_("jobs").update({"name": "mine"}).eq("id", job).execute().data == []


def test_anybody_else_may_nothing(client: Client, refused: Callable[..., Any]) -> None:
    nobody = client(role="anon")
    refused(nobody.from_("jobs").select("*"), "42501", "permission denied")
    refused(nobody.rpc("create_job", BODY), "42501", "permission denied")
    agent = client(role="service_role")
    refused(client(A).rpc("claim_tasks", {"worker": "w"}), "42501", "permission denied")
    assert agent.rpc("claim_tasks", {"worker": "w"}).execute().data == []


@pytest.mark.parametrize(
    ("function", "arguments", "code", "text"),
    [
        ("transition_job_status", {"new_status": "succeeded"}, "JB001", "cannot"),
        ("create_job", {"name": "x", "params": {"batch_size": -1}}, "JB010", "cannot be created"),
        ("cancel_job", {"job_id": str(world.UNKNOWN)}, "JB020", "was not found"),
    ],
)
def test_a_refusal_arrives_with_code_message_details_and_hint(
    client: Client,
    refused: Callable[..., Any],
    function: str,
    arguments: dict[str, Any],
    code: str,
    text: str,
) -> None:
    ann = client(A)
    if function == "transition_job_status":
        made = ann.from_("jobs").insert({"org_id": str(A), "name": "x"}).execute().data[0]["id"]
        arguments = {"job_id": made, **arguments}
    refused(ann.rpc(function, arguments), code, text)
    raw = ann.session.post(f"/rpc/{function}", json=arguments, headers=ann.headers)
    assert raw.status_code == 400
    assert set(raw.json()) == {"code", "message", "details", "hint"}


def test_an_agent_cannot_approve(client: Client, refused: Callable[..., Any]) -> None:
    ann, agent = client(A), client(role="service_role")
    job = ann.from_("jobs").insert({"org_id": str(A), "name": "x"}).execute().data[0]["id"]
    card = {"org_id": str(A), "job_id": job, "type": "send_email", "state": "in_review",
            "content": {"to": "a@example.com"}}  # fmt: skip
    card = agent.from_("kanban_cards").insert(card).execute().data[0]["id"]
    approve = agent.from_("kanban_cards").update({"state": "approved"}).eq("id", card)
    refused(approve, "JB003", "cannot be approved by nobody")
    assert ann.from_("kanban_cards").update({"state": "approved"}).eq("id", card).execute().data
