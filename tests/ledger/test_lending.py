"""Laws of lending: whatever holders do, lose and forget, nobody may use what is not committed, nor commit over the cap."""

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from awfproxy.ledger.facts import Grant, Held, Holder
from awfproxy.ledger.lending import Account, Lease
from tests.ledger.samples import PORT

CAP: Final = 1000
#: seconds that a lease lasts, and that pass at most between two things that happen
LEASE: Final = 30.0
HOSTS: Final = ("a", "b")
HOLDERS: Final = [Holder(host, worker) for host in HOSTS for worker in (0, 1)]
amounts = st.integers(0, 400)
holders = st.sampled_from(HOLDERS)


class Process:
    """A holder as it keeps itself: strict, so that no call uses more than was reserved for it."""

    def __init__(self) -> None:
        self.held = Held(PORT, 0, 0, 0)
        self.calls: list[int] = []
        #: when its lease ends, by its own clock; it admits nothing after that
        self.until = 0.0

    def take(self, grant: Grant) -> None:
        assert grant.known
        self.held = structs.replace(self.held, granted=grant.granted)

    @property
    def free(self) -> int:
        return self.held.granted - self.held.spent - self.held.reserved


class Lending(RuleBasedStateMachine):
    """Strict holders on one account, answers that get lost, deaths with and without last figures, releases."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.alive: dict[Holder, Process] = {}
        #: dead, and not settled yet
        self.dead: dict[Holder, Process] = {}
        #: tokens that were really used, by instance: what rows show, but for calls of which nobody wrote one
        self.used = dict.fromkeys(HOSTS, 0)
        self.unrecorded = dict.fromkeys(HOSTS, 0)
        #: of leases whose figures were lost with their holders: what those had spent and not told
        self.untold = dict.fromkeys(HOSTS, 0)
        #: committed though it was counted, because nobody could know
        self.twice = 0

    @initialize(before=st.integers(0, CAP))
    def open(self, before: int) -> None:
        self.used["a"] = before
        self.account = Account(PORT, before, covered={"a": before})

    def process(self, holder: Holder) -> Process | None:
        """The living one in this place, begun if it is free."""
        if holder in self.dead:
            return None
        return self.alive.setdefault(holder, Process())

    @rule(holder=holders, need=amounts, most=amounts, arrives=st.booleans())
    def borrow(self, holder: Holder, need: int, most: int, arrives: bool) -> None:
        process = self.process(holder)
        if process is None:
            return
        until = self.now + LEASE
        grant = self.account.borrow(
            holder, process.held, cap=CAP, need=need, most=most, now=self.now, expires_at=until
        )
        if arrives:
            process.take(grant)
            process.until = until
            assert grant.fits == (process.free >= need)

    @rule(holder=holders, arrives=st.booleans(), shown=st.booleans())
    def beat(self, holder: Holder, arrives: bool, shown: bool) -> None:
        process = self.process(holder)
        if process is None:
            return
        if shown:
            process.held = structs.replace(process.held, shown=process.held.spent)
        until = self.now + LEASE
        grant = self.account.beat(holder, process.held, self.now, until)
        if not grant.known:
            assert holder not in self.account.leases
            grant = self.account.join(holder, process.held, None, self.now, until)
        if arrives:
            process.take(grant)
            process.until = until

    @rule(holder=holders, keep=amounts, arrives=st.booleans())
    def give_back(self, holder: Holder, keep: int, arrives: bool) -> None:
        """Taken out of the holder's figures before the ledger hears of it."""
        process = self.process(holder)
        if process is None:
            return
        least = process.held.spent + process.held.reserved
        process.held = structs.replace(process.held, granted=max(least, min(process.held.granted, keep)))
        grant = self.account.give_back(holder, process.held, self.now)
        if arrives and grant.known:
            process.take(grant)

    @rule(holder=holders, amount=st.integers(1, 400))
    def admit(self, holder: Holder, amount: int) -> None:
        process = self.alive.get(holder)
        if process is not None and self.now < process.until and process.free >= amount:
            process.calls.append(amount)
            process.held = structs.replace(process.held, reserved=process.held.reserved + amount)

    @rule(holder=holders, part=st.floats(0, 1))
    def settle(self, holder: Holder, part: float) -> None:
        process = self.alive.get(holder)
        if process is not None and process.calls:
            reserved = process.calls.pop()
            actual = round(reserved * part)
            self.used[holder.instance] += actual
            now = process.held
            process.held = structs.replace(now, spent=now.spent + actual, reserved=now.reserved - reserved)

    @rule(holder=holders, parts=st.lists(st.floats(0, 1), min_size=1))
    def die(self, holder: Holder, parts: list[float]) -> None:
        """With calls that used some of what was reserved: the provider counts it, whoever else knows."""
        process = self.alive.pop(holder, None)
        if process is not None:
            self.dead[holder] = process
            used = sum(round(call * parts[number % len(parts)]) for number, call in enumerate(process.calls))
            self.used[holder.instance] += used
            self.unrecorded[holder.instance] += used

    @rule(holder=holders, known=st.booleans())
    def bury(self, holder: Holder, known: bool) -> None:
        """Its figures are found, or lost with it."""
        process = self.dead.pop(holder, None)
        if process is not None and (known or holder in self.account.leases):
            if known:
                assert self.account.settle(holder, process.held).lost == process.held.reserved
            else:
                self.untold[holder.instance] += process.held.spent - self.account.leases[holder].spent
                self.account.give_up(holder)

    @rule(holder=holders)
    def close(self, holder: Holder) -> None:
        process = self.alive.get(holder)
        if process is not None and not process.calls:
            assert self.account.close(holder, process.held) == 0
            del self.alive[holder]

    @rule(seconds=st.floats(0, LEASE))
    def expire(self, seconds: float) -> None:
        self.now += seconds
        for loss in self.account.expire(self.now):
            assert loss.holder in self.account.leases and loss.lost >= 0

    @precondition(lambda self: not any(process.calls for process in self.alive.values()))
    @rule()
    def release(self) -> None:
        """All journals have been read, and who is thought dead is, or has no calls running at least."""
        before = self.account.committed
        self.find_all()
        release = self.account.release(dict(self.used))
        assert release.released + release.shown >= 0 <= release.released
        assert self.account.committed == before - release.released
        assert self.account.lost == 0
        for instance in HOSTS:  # of whose rows it is not known which were of the lost
            self.untold[instance] = self.account._uncovered(instance, self.used[instance])

    @precondition(lambda self: not self.dead)
    @rule()
    def lose(self) -> None:
        """The database: its account is opened anew from rows, and all tell what they hold besides; one of them twice."""
        self.find_all()
        self.account = Account(PORT, sum(self.used.values()), covered=dict(self.used))
        for holder, process in self.alive.items():
            process.held = Held(PORT, process.held.reserved, 0, process.held.reserved)
            for _ in range(2):
                rows = self.used[holder.instance]
                grant = self.account.join(holder, process.held, rows, self.now, self.now + LEASE)
            process.take(grant)
            process.until = self.now + LEASE

    def find_all(self) -> None:
        """All calls have a row now, also those that nobody could write one of."""
        self.unrecorded = dict.fromkeys(HOSTS, 0)
        self.untold = dict.fromkeys(HOSTS, 0)

    @rule(instance=st.sampled_from(HOSTS), uncovered=st.integers(0, 50))
    def recount(self, instance: str, uncovered: int) -> None:
        """Makes up for what no lease has covered, and for nothing that somebody else does.

        What leases have spent and nobody was told may be counted twice.
        """
        if any(holder.instance == instance for holder in self.dead):
            return
        self.used[instance] += uncovered
        untold = self.untold[instance]
        for holder, process in self.alive.items():
            if holder.instance == instance:
                lease = self.account.leases.get(holder, Lease())
                untold += process.held.spent - (lease.spent if lease.dead else lease.shown)
        before = self.account.committed
        self.account.recount(instance, self.used[instance] - self.unrecorded[instance])
        more = self.account.committed - before
        assert uncovered - self.twice <= more <= uncovered + untold
        self.twice += more
        self.untold[instance] = 0

    @rule(instance=st.sampled_from(HOSTS), last=st.booleans())
    def review(self, instance: str, last: bool) -> None:
        """Takes back what was counted twice, and nothing else."""
        if any(holder.instance == instance for holder in self.dead):
            return
        before = self.account.committed
        self.account.review(instance, self.used[instance] - self.unrecorded[instance], last)
        assert 0 <= before - self.account.committed <= self.twice
        self.twice -= before - self.account.committed
        assert last <= (instance not in self.account.doubtful)

    @invariant()
    def never_over_the_cap(self) -> None:
        assert self.account.committed <= CAP + self.twice

    @invariant()
    def what_is_used_is_committed(self) -> None:
        """And all that calls may still use."""
        running = sum(process.held.reserved for process in self.alive.values())
        assert sum(self.used.values()) + running <= self.account.committed

    @invariant()
    def what_is_free_is_committed_too(self) -> None:
        """Holders that may admit calls now can use all they have, and the cap holds."""
        free = sum(process.free for process in self.alive.values() if self.now < process.until)
        running = sum(process.held.reserved for process in self.alive.values())
        assert sum(self.used.values()) + running + free <= CAP + self.twice

    @invariant()
    def figures_are_sound(self) -> None:
        assert 0 <= self.account.lost <= self.account.committed
        standing = self.account.standing(self.now)
        assert 0 <= standing.reserved <= standing.outstanding <= standing.committed
        assert self.account.lost >= sum(lease.lost for lease in self.account.leases.values())
        for lease in self.account.leases.values():
            assert lease.granted >= 0 and (lease.dead or lease.free >= 0)
            assert lease.dead or lease.lost == 0


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
