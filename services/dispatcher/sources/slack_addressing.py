"""Whom an act on Slack speaks to and what it asks for.

A message speaks to an agent when it names it, in direct messages, and in a thread the agent was called into
unless it begins by naming somebody else. A reaction does when it is the agent's own (`:atlas:`), ✅ on an
answer, or 🛑 in a thread the agent was called into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.dispatcher.addressing import addressed_agent, command, model_tags, own_words
from services.dispatcher.domain import AGENT_DEFAULT, Command
from services.dispatcher.sources.slack_payload import Act, ActKind

RESOLVED = frozenset({"white_check_mark", "heavy_check_mark"})
STOP = "octagonal_sign"
_USER = re.compile(r"<@([A-Z0-9]{1,32})(?:\|[^<>]{0,200})?>")
_CONTROL = re.compile(r"<([^<>|]{1,2000})(?:\|([^<>]{0,1000}))?>")


@dataclass(frozen=True, slots=True)
class Asked:
    """An agent and what it is asked for. `command` None: what the words say."""

    agent: str
    command: Command | None = None
    tags: tuple[str, ...] = ()


def asked(act: Act, handles: Mapping[str, str], thread_agent: str | None) -> Asked | None:
    """What an act asks for. None: it is for nobody.

    `handles`: lower-case handle to agent slug. `thread_agent`: the agent called into the act's thread.
    """
    if act.kind is ActKind.REACTION:
        return _by_reaction(act, handles, thread_agent)
    names = {act.bot_user_id.lower(): AGENT_DEFAULT, **handles} if act.bot_user_id else handles
    words = spoken(act.text)
    agent = addressed_agent(words, names)
    if agent is None and words.strip() and not _begins_with_somebody(words):
        agent = thread_agent or (AGENT_DEFAULT if act.is_direct else None)
    if agent is None:
        return None
    spoken_to = act.is_direct or thread_agent is not None
    return Asked(agent, command(words, names, spoken_to=spoken_to), model_tags(words))


def _by_reaction(act: Act, handles: Mapping[str, str], thread_agent: str | None) -> Asked | None:
    if agent := handles.get(act.reaction.lower()):
        return Asked(agent)
    if act.reaction in RESOLVED and act.on_ours:
        return Asked(thread_agent or AGENT_DEFAULT, Command.RESOLVE)
    if act.reaction == STOP and thread_agent:
        return Asked(thread_agent, Command.STOP)
    return None


def may_ask(act: Act, handles: Mapping[str, str]) -> bool:
    """Whether a reaction could mean anything, before its thread is known."""
    return (
        act.reaction.lower() in handles or act.reaction == STOP or (act.on_ours and act.reaction in RESOLVED)
    )


def spoken(mrkdwn: str) -> str:
    """The author's own words: users as `@id` in small letters; no code, no quotes, no links' targets."""
    named = _USER.sub(lambda found: f"@{found.group(1).lower()}", mrkdwn)
    plain = _CONTROL.sub(lambda found: found.group(2) or " ", named)
    return own_words(plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def _begins_with_somebody(words: str) -> bool:
    return words.lstrip().startswith("@")
