"""The rules, one module each; each ends with its ``RULE``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.findings import worst_first
from analytics.rules import (
    async_candidate,
    boundary,
    cascade,
    chatty_call,
    cycle,
    distributed_lock,
    distributed_transaction,
    hot_instance,
    hub,
    incomplete_saga,
    lock_step_deploy,
    missing_circuit_breaker,
    missing_timeout,
    queueing,
    retry_storm,
    saturated_resource,
    shared_database,
    shared_fate,
    sync_chain,
    throughput_knee,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from analytics.findings import Finding, Rule, Subject

RULES: tuple[Rule, ...] = (
    sync_chain.RULE,
    cascade.RULE,
    shared_fate.RULE,
    cycle.RULE,
    chatty_call.RULE,
    shared_database.RULE,
    hub.RULE,
    lock_step_deploy.RULE,
    async_candidate.RULE,
    retry_storm.RULE,
    missing_circuit_breaker.RULE,
    missing_timeout.RULE,
    distributed_transaction.RULE,
    distributed_lock.RULE,
    incomplete_saga.RULE,
    saturated_resource.RULE,
    throughput_knee.RULE,
    hot_instance.RULE,
    queueing.RULE,
    boundary.RULE,
)
"""In the contract's order."""


def find_all(subject: Subject, limits: Mapping[str, Any] | None = None) -> list[Finding]:
    """Return what all rules find, worst first, and last what cannot be told.

    ``limits`` by the names of rules stand in for their defaults.
    """
    given = limits or {}
    return worst_first(
        finding for rule in RULES for finding in rule.judge(subject, given.get(rule.name) or rule.limits())
    )
