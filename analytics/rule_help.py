"""What each rule of findings, and each clause of a policy, is about: one sentence each, for tools that show help."""

from __future__ import annotations

RULE_HELP = {
    "sync-chain": "Requests wait on a long chain of services, each of which blocks on the next.",
    "cascade": "Failures of one service become failures of the services that call it.",
    "shared-fate": "Services that fail or slow down together, because most requests need all of them.",
    "cycle": "Services call each other in a circle, so none can be deployed, scaled or started without the others.",
    "chatty-call": "One request makes many calls of the same kind to another service, one after the other.",
    "shared-database": "Several services use one database, so a change of its schema is a change of all of them.",
    "hub": "One service is called by many and calls many, so most changes and failures pass through it.",
    "lock-step-deploy": "Services are deployed together again and again, as one piece of software would be.",
    "async-candidate": "A call that the caller waits for, though nothing of its answer is needed.",
    "retry-storm": "Retries multiply the load of a service that already fails.",
    "missing-circuit-breaker": "A caller keeps calling at full rate while nearly all of its calls fail.",
    "missing-timeout": "A caller waits without a bound for a service that has stopped answering.",
    "distributed-transaction": "One transaction spans several services, which hold their locks until all have agreed.",
    "distributed-lock": "Services wait for a lock that they share over the network.",
    "incomplete-saga": "A step that wrote something was not undone when a later step failed.",
    "saturated-resource": "A resource of a service is nearly full, and requests wait for it.",
    "throughput-knee": "Beyond some load, latency grows much faster than throughput.",
    "hot-instance": "One instance of a service carries far more load or latency than its peers.",
    "queueing": "The time in which calls wait before they are served grows with the load.",
    "boundary": "A border between services that calls and data say should be elsewhere.",
}
"""The rules of findings, in the contract's order."""

CLAUSE_HELP = {
    "no-data": "A policy cannot be checked without traces.",
    "coupling-index": "The coupling index says how close the system is to one monolith: 0 is free, 100 is one.",
    "dependency": "Which services may call which.",
    "layer": "A service may call services of its own layer and of those below, never upwards.",
    "endpoint-limit": "How slow an endpoint may be, and how often it may fail.",
}
"""What a policy can break beside the rules of findings."""
