"""`Health`: what is amiss with a worker."""

from __future__ import annotations

from wspulse.actors.values.health import Health


def test_worker_is_well_until_something_is_amiss_and_again_when_all_of_it_is_mended() -> None:
    health = Health()
    assert (health.ok, health.reasons) == (True, ())
    health.fail("the bus stands still")
    health.fail("a folder is gone")
    health.fail("the bus stands still")
    assert (health.ok, health.reasons) == (False, ("the bus stands still", "a folder is gone"))
    health.mend("the bus stands still")
    assert (health.ok, health.reasons) == (False, ("a folder is gone",))
    health.mend("a folder is gone")
    assert health.ok


def test_what_was_never_amiss_can_be_mended() -> None:
    health = Health()
    health.mend("a folder is gone")
    assert health.ok
