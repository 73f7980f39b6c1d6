"""Agents, repositories, principals and posts, through the real service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aucert.astra.v1 import agent_service_pb2 as agent_pb
from aucert.astra.v1 import principal_service_pb2 as principal_pb
from aucert.astra.v1 import repository_service_pb2 as repository_pb
from aucert.astra.v1 import thread_post_service_pb2 as post_pb
from aucert.astra.v1.agent_pb2 import Agent, Ceilings, Handle, ToolChoice
from aucert.astra.v1.repository_pb2 import START_POLICY_ANYONE, START_POLICY_STANDING_REQUIRED, Repository
from aucert.astra.v1.task_run_service_pb2 import BeginAttemptRequest
from aucert.astra.v1.thread_post_pb2 import (
    THREAD_POST_KIND_ANSWER,
    THREAD_POST_KIND_NOTICE_CANCELLED,
    THREAD_POST_KIND_NOTICE_FAILED,
)
from aucert.common.v1.scope_pb2 import SCOPE_RUNS_READ, SCOPE_TASKS_WRITE
from services.astra.first_agent import ATLAS_HANDLES, FRAGMENTS
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.caller import acting_for
from services.common.identity import token_digest
from tests.service.astra_kit import Astra, astra_service, new_id, refused  # noqa: F401


async def register(astra: Astra, slug: str, *containers: str, **fields: Any) -> Repository:
    request = repository_pb.RegisterRepositoryRequest(
        **{"slug": slug, "clone_url": f"https://example.org/{slug}", "source_containers": containers} | fields
    )
    return (await astra.repositories.RegisterRepository(request)).repository


async def repository(astra: Astra, **key: str) -> Repository:
    return (await astra.repositories.GetRepository(repository_pb.GetRepositoryRequest(**key))).repository


async def test_agents_are_listed_with_handles_and_framing(astra: Astra) -> None:
    [atlas] = (await astra.agents.ListAgents(agent_pb.ListAgentsRequest())).agents
    seeded = {(source, name) for source, names in ATLAS_HANDLES.items() for name in names}
    assert seeded == {(each.source, each.name) for each in atlas.handles}
    assert {("github", "atlas"), ("github", "astra-atlas")} <= seeded
    framing = {each.slug: tuple(each.operations) for each in atlas.personalities}
    assert [*FRAGMENTS.items()] == [*framing.items()]
    assert all(each.text for each in atlas.personalities)


SCRIBE = agent_pb.PutAgentRequest(
    slug="scribe",
    display_name="Scribe",
    handles=[
        Handle(source="slack", name="U02SCRIBE"),
        Handle(source="google-drive", name="scribe@acme.example"),
    ],
    personality_slugs=["who-scribe-is", "answers-in-threads"],
)


async def put_scribe(astra: Astra, **changes: Any) -> Agent:
    who = agent_pb.PutPersonalityRequest(slug="who-scribe-is", text="You are Scribe.", operations=["answer"])
    await astra.agent_changes.PutPersonality(who)
    request = agent_pb.PutAgentRequest(slug="scribe", **changes) if changes else SCRIBE
    return (await astra.agent_changes.PutAgent(request)).agent


async def test_a_second_agent_is_registered_and_changed_where_something_is_said(astra: Astra) -> None:
    made = await put_scribe(astra)
    assert ["who-scribe-is", "answers-in-threads"] == [each.slug for each in made.personalities]
    assert {("slack", "u02scribe"), ("google-drive", "scribe@acme.example")} == {
        (each.source, each.name) for each in made.handles
    }
    assert (40, 3) == (made.ceilings.turns_max, made.ceilings.mistakes_max)
    assert made == await put_scribe(astra)  # said again, nothing changes

    tools = [ToolChoice(name="repo_*"), ToolChoice(operation="spec_generate", name="docs_create_document")]
    assert tools == (await put_scribe(astra, tools=tools)).tools
    changed = await put_scribe(astra, display_name="The Scribe", ceilings=Ceilings(turns_max=7))
    assert tools == changed.tools
    assert ("The Scribe", 7, made.ceilings.tokens_max) == (
        changed.display_name,
        changed.ceilings.turns_max,
        changed.ceilings.tokens_max,
    )
    assert (made.agent_id, made.handles, made.personalities) == (
        changed.agent_id,
        changed.handles,
        changed.personalities,
    )
    agents = (await astra.agents.ListAgents(agent_pb.ListAgentsRequest())).agents
    assert ["atlas", "scribe"] == [each.slug for each in agents]
    run = await astra.create(agent_slug="scribe")
    assert changed == (await astra.begin(run.task_run_id)).agent


@pytest.mark.parametrize(
    "wrong",
    [
        {"slug": "other", "personality_slugs": ["nobody-wrote-it"]},
        {"slug": "other"},
        {"slug": "scribe", "handles": [Handle(source="github", name="Astra-Atlas")]},
        {"slug": "scribe", "handles": [Handle(source="irc", name="scribe")]},
        {"slug": "scribe", "handles": [Handle(source="slack", name="@scribe")]},
        {"slug": "scribe", "tools": [ToolChoice(name="repo_*_file")]},
    ],
)
async def test_an_agent_that_cannot_work_or_takes_anothers_handle_is_refused(
    astra: Astra, wrong: dict[str, Any]
) -> None:
    with refused("FIELD_INVALID"):
        await astra.agent_changes.PutAgent(agent_pb.PutAgentRequest(**wrong))


async def test_a_fragment_of_a_release_is_not_written_over(astra: Astra) -> None:
    request = agent_pb.PutPersonalityRequest(slug="who-atlas-is", text="You are somebody else.")
    with refused("FIELD_INVALID"):
        await astra.agent_changes.PutPersonality(request)


async def test_only_an_operator_changes_agents(astra: Astra) -> None:
    with refused("SCOPE_MISSING"):
        await astra.agents.PutAgent(SCRIBE)


async def test_repository_is_found_by_id_slug_and_container(astra: Astra) -> None:
    shop = await register(
        astra,
        "acme/shop",
        "github:acme/shop",
        "github:acme/web",
        spec_folders=["specs/"],
        default_branch="main",
    )
    assert START_POLICY_STANDING_REQUIRED == shop.start_policy
    assert ["github:acme/shop", "github:acme/web"] == list(shop.source_containers)
    assert [shop] * 3 == [
        await repository(astra, repository_id=shop.repository_id),
        await repository(astra, slug="acme/shop"),
        await repository(astra, source_container="github:acme/web"),
    ]
    for key in ({"repository_id": new_id()}, {"slug": "no"}, {"source_container": "github:no/no"}):
        with refused("REPOSITORY_NOT_FOUND"):
            await repository(astra, **key)


async def test_registering_a_slug_again_changes_that_repository(astra: Astra) -> None:
    first = await register(astra, "shop", "github:acme/shop", "github:acme/old")
    changed = await register(
        astra,
        "shop",
        "github:acme/shop",
        "github:acme/new",
        clone_url="/srv/shop",
        start_policy=START_POLICY_ANYONE,
    )
    assert (first.repository_id, "/srv/shop", START_POLICY_ANYONE) == (
        changed.repository_id,
        changed.clone_url,
        changed.start_policy,
    )
    assert ["github:acme/new", "github:acme/shop"] == list(changed.source_containers)


async def test_container_belongs_to_one_repository(astra: Astra) -> None:
    shop = await register(astra, "shop", "github:acme/shop")
    with refused("SOURCE_CONTAINER_TAKEN"):
        await register(astra, "web", "github:acme/web", "github:acme/shop")
    with refused("REPOSITORY_NOT_FOUND"):
        await repository(astra, slug="web")
    assert shop == await repository(astra, source_container="github:acme/shop")


async def test_repositories_are_listed_in_pages_ordered_by_slug(astra: Astra) -> None:
    for slug in ("c", "a", "b"):
        await register(astra, slug)
    slugs: list[str] = []
    token = ""
    for _ in range(2):
        response = await astra.repositories.ListRepositories(
            repository_pb.ListRepositoriesRequest(page_size=2, page_token=token)
        )
        slugs += [each.slug for each in response.repositories]
        token = response.next_page_token
    assert (["a", "b", "c"], "") == (slugs, token)


async def test_repositories_of_another_tenant_are_not_there(astra: Astra) -> None:
    shop = await register(astra, "shop", "github:acme/shop")
    with acting_for(await astra.add_tenant()):
        run = await astra.create()
        with refused("REPOSITORY_NOT_FOUND"):
            await astra.create(repository_id=shop.repository_id)
    assert "" == run.repository_id


async def test_attempt_comes_with_the_runs_repository(astra: Astra) -> None:
    shop = await register(astra, "shop", "github:acme/shop")
    run = await astra.create(repository_id=shop.repository_id)
    assert shop == (await astra.begin(run.task_run_id)).repository


async def test_principal_is_found_by_the_digest_of_its_token(astra: Astra) -> None:
    ask = principal_pb.AuthenticatePrincipalRequest
    found = (
        await astra.principals.AuthenticatePrincipal(ask(token_sha256=token_digest("api-token")))
    ).principal
    assert ("api", DEFAULT_TENANT_ID) == (found.name, found.tenant_id)
    assert [SCOPE_RUNS_READ, SCOPE_TASKS_WRITE] == list(found.scopes)
    with refused("TOKEN_INVALID"):
        await astra.principals.AuthenticatePrincipal(ask(token_sha256=token_digest("old")))


async def test_tenant_is_found_by_its_slug(astra: Astra) -> None:
    found = await astra.principals.ResolveTenant(principal_pb.ResolveTenantRequest(slug="default"))
    assert DEFAULT_TENANT_ID == found.tenant_id
    with refused("TENANT_NOT_FOUND"):
        await astra.principals.ResolveTenant(principal_pb.ResolveTenantRequest(slug="nobody"))


async def test_principal_without_the_scope_is_refused(astra: Astra) -> None:
    run = await astra.create()
    for principal in (astra.dispatcher, astra.api):
        with refused("SCOPE_MISSING"):
            await principal.BeginAttempt(BeginAttemptRequest(task_run_id=run.task_run_id, worker="w"))


async def test_post_is_written_down_once_whoever_asks(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    answers = await asyncio.gather(
        *(
            astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, f"a{n}", f"b{n}")
            for n in range(5)
        )
    )
    assert 1 == sum(answer.created for answer in answers)
    assert all(list(answers[0].posts) == list(answer.posts) for answer in answers)
    assert [0, 1] == [post.part for post in answers[0].posts]


async def finish(astra: Astra, post_id: str, external_id: str, url: str = "") -> None:
    await astra.posts.FinishThreadPost(
        post_pb.FinishThreadPostRequest(thread_post_id=post_id, external_id=external_id, url=url)
    )


async def test_finished_post_stays_as_it_was_first_finished(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    [post] = (await astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, "text\0")).posts
    assert ("text\N{REPLACEMENT CHARACTER}", False) == (post.text, post.posted)
    await finish(astra, post.thread_post_id, "1", "https://example.org/1")
    await finish(astra, post.thread_post_id, "2", "https://example.org/2")
    [again] = (await astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, "other")).posts
    assert (True, "1", "https://example.org/1") == (again.posted, again.external_id, again.url)
    with refused("THREAD_POST_NOT_FOUND"):
        await finish(astra, new_id(), "1")
    with acting_for(await astra.add_tenant()), refused("THREAD_POST_NOT_FOUND"):
        await finish(astra, post.thread_post_id, "1")


@pytest.mark.parametrize("kind", [THREAD_POST_KIND_NOTICE_FAILED, THREAD_POST_KIND_NOTICE_CANCELLED])
async def test_run_that_is_over_may_get_its_notice_but_no_answer(astra: Astra, kind: Any) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.complete(run.task_run_id, fence)
    assert (await astra.begin_post(run.task_run_id, fence, kind, "sorry")).created
    with refused("TASK_RUN_COMPLETED"):
        await astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, "late")


async def test_once_the_answer_is_on_record_the_next_attempt_is_told_and_no_notice_contradicts_it(
    astra: Astra,
) -> None:
    run = await astra.create()
    attempt = await astra.begin(run.task_run_id)
    await astra.begin_post(run.task_run_id, attempt.fence, THREAD_POST_KIND_ANSWER, "[R0] Yes.")
    later = await astra.begin(run.task_run_id)
    assert [False, True] == [attempt.answer_begun, later.answer_begun]
    for kind in (THREAD_POST_KIND_NOTICE_FAILED, THREAD_POST_KIND_NOTICE_CANCELLED):
        with refused("TRANSITION_IMPOSSIBLE"):
            await astra.begin_post(run.task_run_id, later.fence, kind, "sorry")
