"""What a service says, and what libraries say in it, is one stream of JSON."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from services.common.logs import configure_logs


@pytest.fixture
def stream():
    said = io.StringIO()
    configure_logs(level="INFO", stream=said)
    yield said
    configure_logs(level="WARNING", pretty=False)


def test_our_lines_and_a_librarys_have_one_form(stream):
    structlog.get_logger().info("serving", service="astra")
    logging.getLogger("temporalio.activity").warning("Completing activity %s as failed", 7)
    logging.getLogger("httpx").info("a library's chatter stays out")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert ("serving", "info", "astra") == (ours["event"], ours["level"], ours["service"])
    assert ("Completing activity 7 as failed", "warning") == (theirs["event"], theirs["level"])
    assert {"event", "level", "timestamp"} == theirs.keys()


def test_a_traceback_tells_no_local_variables(stream):
    password = "hunter2-" + "x" * 4
    try:
        assert password == ""
    except AssertionError:
        logging.getLogger("a.library").exception("it failed")
        structlog.get_logger().exception("we failed")
    for line in stream.getvalue().splitlines():
        assert "AssertionError" == json.loads(line)["exception"][0]["exc_type"]
        assert '"locals"' not in line
