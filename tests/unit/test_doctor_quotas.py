"""What the doctor says of shared limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aucert.astra.v1.quota_pb2 import Quota
from services.cli.doctor_quotas import limits_told

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def in_seconds(seconds: int) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(NOW + timedelta(seconds=seconds))
    return time


def test_limits_in_use_are_told_each_and_the_others_are_counted():
    minute = Duration(seconds=60)
    findings = limits_told(
        [
            Quota(key="brave:1", blocked_until_time=in_seconds(40)),
            Quota(key="github:1:7", limit_units=900, window=minute),
            Quota(key="model:opus:calls", limit_units=4, taken_units=3),
            Quota(
                key="plane:acme:1",
                limit_units=60,
                taken_units=60,
                window=minute,
                blocked_until_time=in_seconds(9),
            ),
        ],
        NOW,
    )
    assert [(each.subject, each.detail) for each in findings] == [
        ("limits", "4 are shared by all processes, 3 in use"),
        ("limit brave:1", "to be left alone for 40 s more"),
        ("limit model:opus:calls", "3 of 4 taken at the same time"),
        ("limit plane:acme:1", "60 of 60 taken within 60 s, to be left alone for 9 s more"),
    ]
