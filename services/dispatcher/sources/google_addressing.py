"""Whom a comment on a document speaks to and what it asks for.

It speaks to an agent when it names it: by its Google account, which Google lists or shows in the words, by
the plain handle, or by assigning the comment to it. In a thread the agent was called into, what begins by
naming nobody else is for it too, and resolving the comment asks it to close the thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.dispatcher.addressing import addressed_agent, command, model_tags, own_words
from services.dispatcher.domain import AGENT_DEFAULT, Command
from services.dispatcher.sources.google_payload import Act

RESOLVE = "resolve"
_PLUS_MENTION = re.compile(r"(?<![\w@/.+-])\+(?=[\w.%+-]{1,64}@[\w-])")


@dataclass(frozen=True, slots=True)
class Asked:
    """An agent and what it is asked for. `command` None: what the words say."""

    agent: str
    command: Command | None = None
    tags: tuple[str, ...] = ()


def asked(act: Act, handles: Mapping[str, str], thread_agent: str | None) -> Asked | None:
    """What an act asks for. None: it is for nobody.

    `handles`: lower-case handle to agent slug; our own account is the default agent's without being listed.
    `thread_agent`: the agent called into the act's thread.
    """
    if act.action == RESOLVE:
        return Asked(thread_agent, Command.RESOLVE) if thread_agent else None
    names = {act.account: AGENT_DEFAULT, **handles} if act.account else handles
    words = own_words(_PLUS_MENTION.sub("@", act.item.text))
    agent = addressed_agent(words, names)
    if agent is None:
        agent = next((names[each] for each in sorted(act.mentioned) if each in names), None)
    if agent is None and not act.mentioned and words.strip() and not words.lstrip().startswith("@"):
        agent = thread_agent
    if agent is None:
        return None
    return Asked(agent, command(words, names, spoken_to=thread_agent is not None), model_tags(words))
