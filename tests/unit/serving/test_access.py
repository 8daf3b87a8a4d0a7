"""Keys, rates and quotas, by the clock of the test."""

from __future__ import annotations

import json

import pytest

from llm_twin.errors import InputError, StoreError
from llm_twin.serving.access import Gatekeeper, check_binding, make_key, write_keys
from llm_twin.serving.http import HttpError
from llm_twin.serving.usage import Usage


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
    keeper = Gatekeeper(None, per_minute_by_address=2, usage=Usage(wall=clock))
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


def admit_tokens(keeper, shown):
    keeper.admit(f"Bearer {shown}", "a", "ask", 1)
    keeper.spend(shown.split("_")[1], 60)


def test_quotas_and_rates_survive_a_restart_and_are_shared_by_those_who_share_the_file(tmp_path):
    clock, file = Clock(), tmp_path / "state" / "usage.db"
    shown, kept = make_key("reader", None, ["ask"], 1000, 1000, 100)
    few, kept_few = make_key("few", None, ["ask"], 1000, 2)
    slow, kept_slow = make_key("slow", None, ["ask"], 2, 1000)
    write_keys(tmp_path / "keys.json", [kept, kept_few, kept_slow])

    def server():
        return Gatekeeper(tmp_path / "keys.json", usage=Usage(file, wall=clock))

    first, beside = server(), server()
    admit_tokens(first, shown)
    first.admit(f"Bearer {few}", "a", "ask", 1)
    beside.admit(f"Bearer {few}", "a", "ask", 1)
    for keeper in (first, beside):
        assert refused(keeper, f"Bearer {few}", "a", "ask", 1).message.startswith("this key's requests")
    first.admit(f"Bearer {slow}", "a", "ask", 1)
    first.admit(f"Bearer {slow}", "a", "ask", 1)
    assert refused(first, f"Bearer {slow}", "a", "ask", 1).code == "rate_limited"
    first.usage.close()
    assert file.stat().st_mode & 0o077 == 0

    again = server()
    assert refused(again, f"Bearer {slow}", "a", "ask", 1).code == "rate_limited"
    assert refused(again, f"Bearer {few}", "a", "ask", 1).code == "quota"
    admit_tokens(again, shown)  # 60 of 100 were spent: this one is still answered whole
    gone = refused(again, f"Bearer {shown}", "a", "ask", 1)
    assert gone.message == "this key's tokens for today are used up" and gone.retry_after == 86400 - 100
    clock.now += 31
    again.admit(f"Bearer {slow}", "a", "ask", 1)
    clock.now += 86400
    for key in (shown, few, slow):
        again.admit(f"Bearer {key}", "a", "ask", 1)
    assert again.usage.database.execute("select count(*) from days").fetchone() == (3,)
    assert again.usage.database.execute("select count(*) from rates where at < 1000").fetchone() == (0,)


def test_a_server_that_was_killed_forgets_a_second_of_rates_and_no_quota(tmp_path):
    clock, file = Clock(), tmp_path / "usage.db"
    killed = Usage(file, wall=clock)
    assert killed.take_day("k", 2, None) == ""
    assert killed.take_rate("key:k", 1) == 0
    clock.now += 1.5
    killed.take_rate("key:other", 5)  # saves
    again = Usage(file, wall=clock)  # the first one was never closed
    assert again.take_rate("key:k", 1) > 50
    assert again.take_day("k", 2, None) == "" and again.take_day("k", 2, None) == "requests"
    assert again.take_rate("key:k", 2) == 0  # another rate is another bucket


def test_a_file_that_cannot_be_written_lets_requests_in(tmp_path, caplog):
    usage = Usage(tmp_path / "usage.db")
    usage.database.execute("pragma query_only = on")
    assert usage.take_day("k", 1, None) == "" and usage.take_day("k", 1, None) == ""
    usage.spend("k", 5)
    usage.take_rate("key:k", 5)
    usage.save()
    assert "not counted" in caplog.text and "not kept" in caplog.text


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "usage.db").write_text("no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(StoreError, match="usage.db does not open"):
        Usage(tmp_path / "usage.db")
