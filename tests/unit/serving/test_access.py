"""Keys, rates and quotas, by the clock of the test."""

from __future__ import annotations

import json

import pytest

from llm_twin.errors import InputError
from llm_twin.serving.access import Gatekeeper, check_binding, make_key, write_keys
from llm_twin.serving.http import HttpError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def refused(keeper, *arguments):
    with pytest.raises(HttpError) as error:
        keeper.admit(*arguments)
    return error.value


def test_a_key_opens_and_only_its_hash_is_kept(tmp_path):
    shown, kept = make_key("reader", ["ada"], ["ask"], 10, 100)
    write_keys(tmp_path / "keys.json", [kept])
    keeper = Gatekeeper(tmp_path / "keys.json")
    assert keeper.admit(f"Bearer {shown}", "a", "ask", 1).twins == ["ada"]
    assert shown.split("_", 2)[2] not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert refused(keeper, f"Bearer {shown}x", "a", "ask", 1).status == 401
    assert refused(keeper, shown, "a", "ask", 1).status == 401
    assert refused(keeper, f"Bearer {shown}", "a", "admin", 1).status == 403


def test_revoking_the_last_key_or_losing_the_file_does_not_open_the_doors(tmp_path):
    path, clock = tmp_path / "keys.json", Clock()
    shown, kept = make_key("reader", None, ["ask"], 10, 100)
    write_keys(path, [kept])
    keeper = Gatekeeper(path, clock=clock)
    keeper.admit(f"Bearer {shown}", "a", "ask", 1)
    write_keys(path, [])
    clock.now += 2
    assert refused(keeper, f"Bearer {shown}", "a", "ask", 1).status == 401
    path.unlink()
    clock.now += 2
    assert refused(keeper, "", "a", "ask", 1).status == 401


def test_rates_refill_and_days_run_out(tmp_path):
    clock = Clock()
    keeper = Gatekeeper(None, per_minute_by_address=2, clock=clock)
    keeper.admit("", "a", "ask", 1)
    keeper.admit("", "a", "ask", 1)
    assert refused(keeper, "", "a", "ask", 1).retry_after >= 1
    keeper.admit("", "b", "ask", 1)
    clock.now += 31
    keeper.admit("", "a", "ask", 1)
    shown, kept = make_key("reader", None, ["ask"], 100, 1)
    write_keys(tmp_path / "keys.json", [kept])
    daily = Gatekeeper(tmp_path / "keys.json")
    daily.admit(f"Bearer {shown}", "a", "ask", 1)
    assert refused(daily, f"Bearer {shown}", "a", "ask", 1).code == "quota"


def test_no_room_is_said_at_once():
    assert refused(Gatekeeper(max_in_flight=3), "", "a", "ask", 4).status == 503


def test_wider_than_loopback_needs_keys(tmp_path):
    check_binding("127.0.0.1", None)
    check_binding("0.0.0.0", None, behind_gateway=True)
    with pytest.raises(InputError, match="access keys"):
        check_binding("0.0.0.0", tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(json.dumps([{"id": 1}]))
    with pytest.raises(InputError, match="no access keys"):
        check_binding("0.0.0.0", tmp_path / "bad.json")


def test_a_key_has_its_own_tokens_and_the_request_that_spends_the_last_is_answered(tmp_path):
    shown, kept = make_key("reader", None, ["ask"], 10, 100, tokens_per_day=50)
    write_keys(tmp_path / "keys.json", [kept])
    keeper = Gatekeeper(tmp_path / "keys.json")
    for _ in range(2):
        key = keeper.admit(f"Bearer {shown}", "a", "ask", 1)
        keeper.spend(key.id, 30)
    used_up = refused(keeper, f"Bearer {shown}", "a", "ask", 1)
    assert used_up.status == 429 and "tokens" in used_up.message and used_up.retry_after > 0
