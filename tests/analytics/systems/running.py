"""A system while it runs: its requests as processes that take time and tell their spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.analytics.systems.draws import Key, Time, key_of, uniform
from tests.analytics.systems.engine import Event, Loop, Process
from tests.analytics.systems.parts import (
    MS,
    SECOND,
    Faults,
    Instance,
    RunningBreaker,
    RunningDatabase,
    arrivals,
    choose,
)
from tests.analytics.systems.recorder import Recorder, SpanContext
from tests.analytics.systems.system import (
    Call,
    Delay,
    Endpoint,
    Fail,
    Failing,
    Fault,
    HeldLock,
    Inside,
    LongTransaction,
    Maybe,
    Parallel,
    Query,
    Repeat,
    Send,
    Slow,
    SlowDatabase,
    Starve,
    Step,
    Steps,
    System,
    Transaction,
    Work,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE_NS = 10 * MS
"""How long one holds a core while others want it: about what Linux gives."""
# Places under a key, beyond all indexes of steps.
_SPAN, _TRACE, _INSTANCE, _REQUEST, _RESPONSE, _SENT, _ACCEPTED, _RECEIVED, _PROGRAM, _COMMIT = range(10**6, 10**6 + 10)


class _Failed(Exception):  # noqa: N818  (the steps end early; not an error of ours)
    """What a step raises whose request fails."""


class _Here(NamedTuple):
    """In which span and instance steps are done."""

    trace: int
    span: int
    instance: Instance


class Simulation:
    """A system while it runs. Every method that is a Process takes time; ``key`` names its draws."""

    def __init__(self, system: System, seed: int, faults: tuple[Fault, ...], *, queueing: bool) -> None:
        self.recorder = Recorder(system.environment)
        self._system = system
        self._seed = key_of(seed, 0)
        self._all_faults = faults
        self._loop = Loop()
        self._faults = Faults(faults, self._loop)
        self._instances = {
            service.name: [Instance(service, n, self._loop, queueing=queueing) for n in range(service.instances)]
            for service in system.services
        }
        self._databases = {d.name: RunningDatabase(d, self._loop, queueing=queueing) for d in system.databases}
        self._breakers: dict[tuple[str, str], RunningBreaker] = {}
        self._protocols = {service.name: service.protocol for service in system.services}
        self._do: dict[type[Step], Callable[[_Here, Any, Key], Process]] = {
            Work: self._work,
            Call: self._call,
            Parallel: self._parallel,
            Repeat: self._repeat,
            Maybe: self._maybe,
            Inside: self._inside,
            Send: self._send,
            Query: self._query,
            Transaction: self._transaction,
            Fail: self._fail,
        }

    def run(self, sample_s: float) -> None:
        """Run until all requests are done."""
        end = 0
        for number, endpoint in enumerate(self._system.endpoints):
            key = key_of(self._seed, number)
            for request, at in enumerate(arrivals(endpoint, key)):
                self._loop.wake(self._request(endpoint, key_of(key, request)), at)
            end = max(end, round(sum(seconds for seconds, _ in endpoint.levels) * SECOND))
        for fault in self._all_faults:
            if isinstance(fault, HeldLock):
                self._loop.wake(self._hold(fault, end), round(fault.from_s * SECOND))
        self._loop.wake(self._sample(round(sample_s * SECOND), end), 0)
        self._loop.run()

    def _request(self, endpoint: Endpoint, key: Key) -> Process:
        yield from self._serve(endpoint.service, endpoint.operation, SpanContext(key_of(key, _TRACE), 0), key)

    def _serve(self, service: str, operation: str, caller: SpanContext, key: Key, queue: str | None = None) -> Process:
        """Wait for a worker and do the operation in a SERVER (with a queue: CONSUMER) span; returns the error."""
        instance = choose(self._instances[service], key_of(key, _INSTANCE))
        yield from instance.workers.take()
        yield from self._io(instance, key_of(key, _ACCEPTED))
        begin, error = self._loop.now, None
        here = _Here(caller.trace, key_of(key, _SPAN), instance)
        try:
            yield from self._disturb(instance, operation, key)
            yield from self._steps(here, instance.service.operations[operation], key_of(key, _PROGRAM))
        except _Failed as failure:
            error = str(failure)
        if queue is None:
            self._tell(here, caller.span, "server", begin, self._rpc_words(service, operation), error)
        else:
            words = self.recorder.message(queue, "process", operation)
            self._tell(here, caller.span, "consumer", begin, words, error)
        instance.workers.give()
        return error

    def _disturb(self, instance: Instance, operation: str, key: Key) -> Process:
        for slow in self._faults.on(Slow, instance.service.name):
            if slow.operation in {None, operation} and slow.instance in {None, instance.number}:
                yield round(slow.ms * MS)
        for place, failing in enumerate(self._faults.on(Failing, instance.service.name)):
            if failing.operation in {None, operation} and uniform(key_of(key, -place - 2)) < failing.share:
                raise _Failed(failing.error)

    def _steps(self, here: _Here, steps: Steps, key: Key) -> Process:
        for place, step in enumerate(steps):
            yield from self._do[type(step)](here, step, key_of(key, place))

    def _work(self, here: _Here, work: Work, key: Key) -> Process:
        if work.cpu:
            yield from self._compute(here.instance, work.time.draw_ns(key))
        else:
            yield work.time.draw_ns(key)

    def _io(self, instance: Instance, key: Key) -> Process:
        yield from self._compute(instance, instance.service.io.draw_ns(key))

    def _compute(self, instance: Instance, ns: int) -> Process:
        """Use a core for so long, in slices while others wait for it."""
        for starve in self._faults.on(Starve, instance.service.name):
            if starve.instance in {None, instance.number}:
                ns = round(ns * starve.factor)
        cores = instance.cores
        while ns > 0:
            part = min(ns, _SLICE_NS) if cores.size is not None else ns
            yield from cores.take()
            yield part
            cores.busy_ns += part
            cores.give()
            ns -= part

    def _call(self, here: _Here, call: Call, key: Key) -> Process:
        error = None
        for attempt in range(call.retries + 1):
            if attempt and call.backoff_ms:
                yield round(call.backoff_ms * MS)
            error = yield from self._attempt(here, call, attempt, key_of(key, attempt))
            if error is None:
                return
        if not call.optional:
            raise _Failed(error)

    def _attempt(self, here: _Here, call: Call, attempt: int, key: Key) -> Process:
        """Call once; returns the error."""
        begin, breaker = self._loop.now, self._breaker(here.instance.service.name, call)
        span = key_of(key, _SPAN) if call.client_span else here.span
        if breaker and breaker.forbids(begin):
            error = "CallNotPermitted"
        else:
            yield from self._io(here.instance, key_of(key, _SENT))
            error = yield from self._await(here, call, SpanContext(here.trace, span), key)
            yield from self._io(here.instance, key_of(key, _RECEIVED))
            if breaker:
                breaker.note(self._loop.now, failed=error is not None)
        forbidden = error == "CallNotPermitted" and call.breaker is not None
        if call.client_span and not (forbidden and call.breaker and call.breaker.silent):
            words = self._rpc_words(call.service, call.operation, attempt or None, client=True)
            self._tell(here._replace(span=span), here.span, "client", begin, words, error)
        return error

    def _await(self, here: _Here, call: Call, caller: SpanContext, key: Key) -> Process:
        """Wait for the answer, or for the timeout; returns the error."""
        exchange = self._exchange(here.instance.service.name, call, caller, key_of(key, _REQUEST))
        if call.timeout_ms is None:
            error = yield from exchange
            return error
        done = Event(self._loop)
        self._loop.wake(_then_fire(exchange, done), 0)
        self._loop.wake(_fire(done, "timeout"), round(call.timeout_ms * MS))
        error = yield done
        return error

    def _exchange(self, caller: str, call: Call, context: SpanContext, key: Key) -> Process:
        yield self._way(caller, call.service, key_of(key, _REQUEST))
        failed = yield from self._serve(call.service, call.operation, context, key)
        yield self._way(caller, call.service, key_of(key, _RESPONSE))
        return None if failed is None else "500"

    def _way(self, caller: str, callee: str, key: Key) -> int:
        ns = self._system.links.get((caller, callee), self._system.network).draw_ns(key)
        delays = self._faults.on(Delay, callee)
        return ns + sum(round(delay.ms * MS / 2) for delay in delays if delay.caller in {None, caller})

    def _breaker(self, caller: str, call: Call) -> RunningBreaker | None:
        if call.breaker is None:
            return None
        return self._breakers.setdefault((caller, call.service), RunningBreaker(call.breaker))

    def _parallel(self, here: _Here, parallel: Parallel, key: Key) -> Process:
        done = [Event(self._loop) for _ in parallel.branches]
        for place, (branch, event) in enumerate(zip(parallel.branches, done, strict=True)):
            steps = self._steps(here, branch, key_of(key, place))
            self._loop.wake(_then_fire(_error_of(steps), event), 0)
        failed = None
        for event in done:
            error = yield event
            failed = failed or error
        if failed is not None:
            raise _Failed(failed)

    def _repeat(self, here: _Here, repeat: Repeat, key: Key) -> Process:
        for turn in range(repeat.times):
            yield from self._steps(here, repeat.steps, key_of(key, turn))

    def _maybe(self, here: _Here, maybe: Maybe, key: Key) -> Process:
        if uniform(key) < maybe.share:
            yield from self._steps(here, maybe.steps, key)

    def _inside(self, here: _Here, inside: Inside, key: Key) -> Process:
        begin, within = self._loop.now, here._replace(span=key_of(key, _SPAN))
        error = yield from _error_of(self._steps(within, inside.steps, key))
        self._tell(within, here.span, "internal", begin, self.recorder.words(span_name=inside.name), error)
        if error is not None:
            raise _Failed(error)

    def _send(self, here: _Here, send: Send, key: Key) -> Process:
        begin, span = self._loop.now, key_of(key, _SPAN)
        yield from self._io(here.instance, key_of(key, _SENT))
        words = self.recorder.message(send.queue, "send", f"send {send.queue}")
        self._tell(here._replace(span=span), here.span, "producer", begin, words, None)
        for place, (service, operation) in enumerate(send.consumers):
            delivered = key_of(key, place)
            sender = SpanContext(here.trace, span)
            if send.linked:
                sender = SpanContext(key_of(delivered, _TRACE), 0)
                taker = SpanContext(sender.trace, key_of(delivered, _SPAN))
                self.recorder.link(taker, SpanContext(here.trace, span))
            consuming = self._serve(service, operation, sender, delivered, send.queue)
            self._loop.wake(consuming, send.delivery.draw_ns(key_of(delivered, _REQUEST)))

    def _query(self, here: _Here, query: Query, key: Key) -> Process:
        pool = here.instance.connections(query.database)
        yield from pool.take()
        if query.lock is None:
            yield from self._statement(here, query.database, query.time, (query.statement, query.table), key)
        else:
            yield from self._lock(here, query.database, query.lock, query.time, (query.statement, query.table), key)
            self._databases[query.database].lock(query.lock).give()
        pool.give()

    def _transaction(self, here: _Here, transaction: Transaction, key: Key) -> Process:
        database, table = transaction.database, transaction.table
        pool = here.instance.connections(database)
        yield from pool.take()
        locking = f"SELECT * FROM {table or transaction.lock} WHERE id = ? FOR UPDATE"
        yield from self._lock(here, database, transaction.lock, transaction.time, (locking, table), key)
        for long in self._faults.on(LongTransaction, here.instance.service.name):
            yield round(long.ms * MS)
        error = yield from _error_of(self._steps(here, transaction.steps, key))
        end = "COMMIT" if error is None else "ROLLBACK"
        yield from self._statement(here, database, transaction.time, (end, None), key_of(key, _COMMIT))
        self._databases[database].lock(transaction.lock).give()
        pool.give()
        if error is not None:
            raise _Failed(error)

    def _lock(
        self, here: _Here, database: str, lock: str, time: Time, text: tuple[str, str | None], key: Key
    ) -> Process:
        """Run a statement whose span also waits for a lock, which stays held."""
        begin = self._loop.now
        yield from self._databases[database].lock(lock).take()
        yield from self._statement(here, database, time, text, key, begin)

    def _statement(
        self, here: _Here, database: str, time: Time, text: tuple[str, str | None], key: Key, begin: int | None = None
    ) -> Process:
        begin = self._loop.now if begin is None else begin
        running = self._databases[database]
        ns: float = time.draw_ns(key)
        for slow in self._faults.on(SlowDatabase, database):
            ns = ns * slow.factor + slow.ms * MS
        yield from running.statements.take()
        yield round(ns)
        running.statements.give()
        words = self.recorder.query(running.system, database, *text)
        self._tell(here._replace(span=key_of(key, _SPAN)), here.span, "client", begin, words, None)

    def _fail(self, _here: _Here, fail: Fail, key: Key) -> Process:
        if uniform(key) < fail.share:
            raise _Failed(fail.error)
        yield from ()

    def _hold(self, fault: HeldLock, end: int) -> Process:
        lock = self._databases[fault.database].lock(fault.lock)
        while self._loop.now < min(end, fault.to_s * SECOND):
            yield from lock.take()
            yield round(fault.hold_ms * MS)
            lock.give()
            yield round(fault.every_ms * MS)

    def _sample(self, every: int, end: int) -> Process:
        """Tell of every instance's resources again and again."""
        busy: dict[str, int] = {}
        while self._loop.now < end:
            yield every
            for instances in self._instances.values():
                for instance in instances:
                    if instance.service.metrics:
                        self._tell_resources(instance, busy, every)

    def _tell_resources(self, instance: Instance, busy: dict[str, int], every: int) -> None:
        now, who = self._loop.now, (instance.service.name, instance.name)
        if instance.cores.size is not None:
            used = (instance.cores.busy_ns - busy.get(instance.name, 0)) / (instance.cores.size * every)
            busy[instance.name] = instance.cores.busy_ns
            self.recorder.point(now, who, "process.cpu.utilization", min(used, 1.0))
        if instance.workers.size is not None:
            self.recorder.point(now, who, "tomcat.thread.busy.count", instance.workers.used)
            self.recorder.point(now, who, "tomcat.thread.limit", instance.workers.size)
        for database, pool in instance.all_connections():
            if pool.size is not None:
                for state, value in (("used", pool.used), ("idle", pool.size - pool.used)):
                    self.recorder.point(now, who, "db.client.connection.count", value, database, state)
                self.recorder.point(now, who, "db.client.connection.max", pool.size, database)
                self.recorder.point(now, who, "db.client.connection.pending_requests", pool.waiting, database)

    def _rpc_words(self, service: str, operation: str, resend: int | None = None, *, client: bool = False) -> int:
        return self.recorder.rpc(self._protocols[service], operation, service if client else None, resend)

    def _tell(self, at: _Here, parent: int, kind: str, begin: int, words: int, error: str | None) -> None:
        service = at.instance.service
        version = at.instance.version(begin)
        resource = self.recorder.resource(service.namespace, service.name, at.instance.name, version)
        line = (at.trace, at.span, parent or None, resource, kind, begin, self._loop.now - begin, error)
        self.recorder.span(line, words)


def _error_of(steps: Process) -> Process:
    """Do steps and return the error instead of raising it."""
    try:
        yield from steps
    except _Failed as failure:
        return str(failure)
    return None


def _then_fire(process: Process, event: Event) -> Process:
    event.fire((yield from process))


def _fire(event: Event, value: str) -> Process:
    event.fire(value)
    yield from ()
