"""The pure parts of `make bench ingest`: what is sent, what is checked, what is made of the figures."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest

from scripts.ingest_bench import webhooks
from scripts.ingest_bench.contenders import NAMES
from scripts.ingest_bench.load import request
from scripts.ingest_bench.report import figures, percentile, table
from scripts.ingest_bench.rounds import Round, check
from scripts.ingest_bench.waits import Waits
from scripts.loop_bench.processes import WrongResult
from services.dispatcher.sources import slack
from services.dispatcher.sources.slack_payload import Act, read


def test_a_webhook_is_ten_kilobytes_of_a_message_that_is_read():
    body = webhooks.body("Ev1")
    assert len(body) == webhooks.SIZE_BYTES
    assert isinstance(read(body), Act)


def test_a_webhook_is_made_again_from_its_name_and_is_unlike_any_other():
    assert webhooks.body("Ev1") == webhooks.body("Ev1") != webhooks.body("Ev2")
    assert len({slack.order_key(name, webhooks.body(name)) for name in webhooks.names("A", 50)}) == 50


def test_what_is_sent_is_whole_and_signed_as_slack_signs():
    head, _, body = request("http://127.0.0.1:8080/webhooks/slack", "Ev1").partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    assert first == "POST /webhooks/slack HTTP/1.1"
    assert (str(len(body)), "127.0.0.1:8080") == (headers["content-length"], headers["host"])
    assert slack.is_genuine(webhooks.SECRET, headers, body)
    assert slack.is_fresh(headers, datetime.now(UTC))


def kept(*names: str) -> dict[str, bytes]:
    return {name: hashlib.sha256(webhooks.body(name)).digest() for name in names}


def test_a_table_that_holds_what_was_sent_is_right():
    check("astra", ["Ev1", "Ev2"], kept("Ev1", "Ev2"))


@pytest.mark.parametrize(
    ("held", "told"),
    [(kept("Ev1"), "lost 1"), (kept("Ev1") | {"Ev2": b"x"}, "1 webhooks with other bytes")],
)
def test_a_webhook_that_is_lost_or_changed_fails_the_bench(held, told):
    with pytest.raises(WrongResult, match=told):
        check("astra", ["Ev1", "Ev2"], held)


def rounds(per_second: float, ms: float, **cpu_seconds: float) -> list[Round]:
    return [Round(100, 100 / per_second, [ms] * 98 + [ms * 2, ms * 3], cpu_seconds)] * 3


RESULTS = {
    "astra": rounds(3_000, 10, gateway=0.02, postgres=0.01),
    "reference": rounds(2_000, 20, handler=0.04, postgres=0.02),
    "slack_bolt": rounds(2_500, 15, handler=0.03),
}
WAITS = [Waits(webhook_to_task=20, start_to_task=10, answer_to_post=50)] * 3


@pytest.mark.parametrize(
    ("what", "astra", "ratio"),
    [
        ("webhooks a second, 64 at a time, median round", 3_000, 1.5),
        ("Astra to the reference, round by round, median", 1.5, None),
        ("time to the answer, median", 10, 0.5),
        ("time to the answer, p99", 20, 0.5),
        ("CPU time a webhook, PostgreSQL's included", 300, 0.5),
        ("of it postgres", 100, 0.5),
        ("webhook read to first workflow task, median", 20, None),
    ],
)
def test_a_figure_is_made_of_what_was_measured(what, astra, ratio):
    line = {each.what: each for each in figures(RESULTS, WAITS)}[what]
    assert pytest.approx(astra) == line.values["astra"]
    assert (ratio if ratio is None else pytest.approx(ratio)) == line.ratio
    assert json.dumps(line.to_json())


def test_the_aim_of_the_first_task_follows_from_temporals_own():
    line = next(each for each in figures(RESULTS, WAITS) if each.what.startswith("webhook read"))
    assert line.aim.startswith("<= 18.0 ")


def test_the_table_shows_every_figure_on_a_line_with_its_aim():
    lines = figures(RESULTS, WAITS)
    heads, *rows = table(lines).splitlines()
    assert all(name in heads for name in NAMES)
    assert [True] * len(lines) == [
        row.startswith(line.what) and row.endswith(line.aim) for row, line in zip(rows, lines, strict=True)
    ]


def test_p99_is_the_value_all_but_one_in_a_hundred_do_not_exceed():
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([4.0], 0.99) == 4.0
