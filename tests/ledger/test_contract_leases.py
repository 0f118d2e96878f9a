"""What every ledger promises about windows and leases; the arithmetic itself has its laws in test_lending.py."""

from dataclasses import dataclass

import pytest
from msgspec import structs

from awfproxy.core.budgets import Scope
from awfproxy.ledger.facts import Grant, Held, Holder, Loss, Release, Standing, Window
from awfproxy.ledger.interface import Ledger
from tests.ledger.samples import APRIL, LATER, MARCH, NOW, PORT, A, B, C, held, row


@dataclass
class Borrower:
    """Calls `Ledger.borrow` with what most tests do not care about."""

    ledger: Ledger
    cap: int = 1000

    def __call__(self, holder: Holder, need: int, most: int = 0, now: Held | None = None) -> Grant:
        figures = now or held()
        return self.ledger.borrow(holder, figures, cap=self.cap, need=need, most=most, now=NOW, expires_at=LATER)

    @property
    def standing(self) -> Standing:
        standing = self.ledger.window(PORT, NOW)
        assert standing is not None
        return standing


@pytest.fixture
def borrow(ledger: Ledger) -> Borrower:
    return Borrower(ledger)


def test_nothing_is_known_of_a_window_nobody_asked_for(ledger: Ledger) -> None:
    """Looking at a window does not make it."""
    assert ledger.window(PORT, NOW) is None
    assert ledger.windows(NOW) == []
    assert ledger.release_lost(PORT) is None
    ledger.recount(PORT, "host-a")
    ledger.review(PORT, "host-a", last=True)
    assert ledger.windows(NOW) == ledger.in_doubt("host-a") == []


def test_a_piece_fits_exactly_or_not_at_all(borrow: Borrower) -> None:
    """The last token under the cap can be had, one more cannot."""
    assert borrow(A, 1000).granted == 1000
    refused = borrow(A, 1, now=held(1000, 1000))
    assert (refused.granted, refused.fits) == (1000, False)
    assert refused.standing.used == 1000 == refused.standing.committed


def test_pieces_shrink_near_the_cap(borrow: Borrower) -> None:
    """More than is needed comes only from a quarter of the holder's share of what remains."""
    assert borrow(A, 10, most=10_000).granted == 250
    assert borrow(B, 10, most=10_000).granted == 750 // 8
    assert borrow(C, 10, most=20).granted == 20
    assert borrow(C, 300, most=10_000, now=held(20)).granted == 300


def test_what_was_granted_before_is_granted_once(borrow: Borrower) -> None:
    """A holder that missed the answer asks again, and gets no second piece: it is told what it has."""
    first = borrow(A, 100)
    again = borrow(A, 100)
    assert first == again
    assert borrow.standing.committed == 100


def test_an_account_opens_with_what_rows_show(ledger: Ledger, borrow: Borrower) -> None:
    """Only rows of the window and the scope count, and later rows no more: leases cover them."""
    ledger.record([row(1, 400), row(2, 50, port="anthropic"), row(3, 50, created_at=MARCH * 1000 - 1)])
    assert borrow(A, 601).fits is False
    assert borrow(A, 600).fits
    ledger.record([row(4, 300)])
    assert borrow.standing.committed == 1000


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (structs.replace(PORT, scope=Scope("openai", "feature", "embed")), 20),
        (structs.replace(PORT, scope=Scope("openai", "user", "ci")), 40),
        (structs.replace(PORT, measure="all"), 75),
        (structs.replace(PORT, measure="usd"), 250_000),
        (structs.replace(PORT, period="day", end=MARCH + 86400), 70),
    ],
)
def test_each_scope_and_measure_has_an_account_of_its_own(
    ledger: Ledger, borrow: Borrower, window: Window, shown: int
) -> None:
    """User, feature, measure and period say which rows it opens with, and none touches another."""
    rows = [row(1, 10, cost_usd=0.25, counted_usd=250_000), row(2, 20, feature="embed"), row(3, 40, user="ci")]
    ledger.record([*rows, row(4, 0, include_cache=False, cache_read_tokens=5)])
    borrow(A, 100)
    figures = held(window=window)
    ledger.borrow(A, figures, cap=10**9, need=7, most=0, now=NOW, expires_at=LATER)
    standing = ledger.window(window, NOW)
    assert standing is not None and standing.committed == shown + 7
    assert borrow.standing.committed == 170
    assert ledger.windows(NOW) == sorted([PORT, window])


def test_free_tokens_of_others_are_called_back(ledger: Ledger, borrow: Borrower) -> None:
    """A holder in need makes the window wanted; who has some gives back, and the rest is a loan again."""
    borrow(A, 900)
    assert not borrow(B, 300).fits
    (grant,) = ledger.heartbeat(A, [held(900, 100, 50)], NOW, LATER)
    assert grant.standing.wanted
    given = ledger.give_back(A, held(150, 100, 50), NOW)
    assert given.granted == 150
    assert borrow(B, 300).fits
    assert ledger.heartbeat(A, [held(150, 100, 50)], NOW + 60, LATER)[0].standing.wanted is False


def test_nothing_is_called_back_where_nothing_is_free(ledger: Ledger, borrow: Borrower) -> None:
    """A window that is used up is not wanted."""
    borrow(A, 1000)
    ledger.heartbeat(A, [held(1000, 990, 10)], NOW, LATER)
    assert not borrow(B, 1).fits
    assert not borrow.standing.wanted


def test_giving_back_keeps_what_is_spent_and_reserved(ledger: Ledger, borrow: Borrower) -> None:
    """Whatever a holder says to keep; and telling it twice gives back once."""
    borrow(A, 500)
    for _ in range(2):
        assert ledger.give_back(A, held(0, 200, 30), NOW).granted == 230
    assert borrow.standing == Standing(230, 0, 30, 30, 1, False)
    assert ledger.give_back(A, held(900, 200, 30), NOW).granted == 230


def test_figures_of_all_leases_at_once(ledger: Ledger, borrow: Borrower) -> None:
    """A heartbeat answers in the order of the question, for each window how all together stand."""
    other = structs.replace(PORT, scope=Scope("anthropic"))
    borrow(A, 100)
    borrow(B, 200)
    ledger.borrow(A, held(window=other), cap=50, need=50, most=0, now=NOW, expires_at=LATER)
    grants = ledger.heartbeat(A, [held(50, 5, 6, other), held(100, 30, 40)], NOW, LATER)
    assert [(grant.window, grant.granted) for grant in grants] == [(other, 50), (PORT, 100)]
    assert grants[1].standing == Standing(300, 0, 270, 40, 2, False)
    assert grants[1].standing.used == 30
    assert ledger.heartbeat(C, [], NOW, LATER) == []


@pytest.mark.parametrize("way", ["borrow", "heartbeat", "give_back"])
def test_a_debt_is_committed_over_the_cap(ledger: Ledger, borrow: Borrower, way: str) -> None:
    """What a call used beyond its lease was used, whatever the cap is; it is taken up once."""
    borrow(A, 900)
    now = held(900, 950, 100)
    for _ in range(2):
        if way == "borrow":
            grant = borrow(A, 5, now=now)
            assert not grant.fits
        elif way == "heartbeat":
            (grant,) = ledger.heartbeat(A, [now], NOW, LATER)
        else:
            grant = ledger.give_back(A, now, NOW)
        assert grant.granted == 1050 == borrow.standing.committed


def test_a_closed_lease_leaves_what_was_spent(ledger: Ledger, borrow: Borrower) -> None:
    """What was free comes back, and the holder is none of the holders any more."""
    borrow(A, 500)
    ledger.close_lease(A, held(500, 120))
    assert borrow.standing == Standing(120, 0, 0, 0, 0, False)
    assert borrow(A, 880).granted == 880


def test_the_dead_are_settled_by_their_last_figures(ledger: Ledger, borrow: Borrower) -> None:
    """Free comes back, reserved is lost; a lease without figures was granted when nobody was there to use it."""
    late = structs.replace(PORT, period="week", end=MARCH + 7 * 86400)
    borrow(A, 500)
    borrow(B, 100)
    ledger.borrow(A, held(window=late), cap=1000, need=300, most=0, now=NOW, expires_at=LATER)
    assert ledger.settle_dead(A, [held(500, 120, 80)], NOW) == [Loss(A, PORT, 80), Loss(A, late, 0)]
    assert borrow.standing == Standing(300, 80, 100, 0, 1, False)
    assert ledger.window(late, NOW) == Standing(0, 0, 0, 0, 0, False)
    assert ledger.settle_dead(A, [], NOW) == []


def test_figures_of_the_dead_that_are_older_than_their_heartbeat(ledger: Ledger, borrow: Borrower) -> None:
    """A file that lost its last writes with the machine cannot take back what was spent."""
    borrow(A, 500)
    ledger.heartbeat(A, [held(500, 300)], NOW, LATER)
    assert ledger.settle_dead(A, [held(500, 100)], NOW) == [Loss(A, PORT, 0, followed=False)]
    assert borrow.standing.committed == 300


def test_the_dead_that_the_ledger_never_met(ledger: Ledger, borrow: Borrower) -> None:
    """What they used only rows have, also what they used before there was a lease."""
    borrow(B, 500)
    assert ledger.settle_dead(A, [held(0, 0)], NOW) == [Loss(A, PORT, 0, followed=False)]
    assert ledger.settle_dead(C, [held(0, 30)], NOW) == [Loss(C, PORT, 0, followed=False)]
    assert borrow.standing.committed == 500


def test_the_dead_without_figures_lose_all_they_had(ledger: Ledger, borrow: Borrower) -> None:
    """What they never said to have spent counts as used."""
    borrow(A, 500)
    ledger.heartbeat(A, [held(500, 300, 20)], NOW, LATER)
    assert ledger.give_up(A) == [Loss(A, PORT, 200)]
    assert borrow.standing == Standing(500, 200, 0, 0, 0, False)
    assert ledger.give_up(A) == []


def test_what_expired_is_lost_once(ledger: Ledger, borrow: Borrower) -> None:
    """Giving up a holder whose lease had expired adds nothing."""
    borrow(A, 500)
    ledger.expire(LATER)
    assert ledger.give_up(A) == [Loss(A, PORT, 500)]
    assert borrow.standing == Standing(500, 500, 0, 0, 0, False)


def test_a_lease_expires_and_frees_nothing(ledger: Ledger, borrow: Borrower) -> None:
    """At its time, not before, and once; the living are not touched."""
    borrow(A, 500)
    borrow(B, 100)
    ledger.heartbeat(A, [held(500, 300, 20)], NOW, NOW + 10)
    assert ledger.expire(NOW + 9.5) == []
    assert ledger.expire(NOW + 10) == [Loss(A, PORT, 200)]
    assert ledger.expire(NOW + 11) == []
    assert borrow.standing == Standing(600, 200, 100, 0, 1, False)
    assert not borrow(C, 401).fits


@pytest.mark.parametrize("way", ["borrow", "heartbeat", "settle_dead"])
def test_who_expired_and_speaks_again_lives_on(ledger: Ledger, borrow: Borrower, way: str) -> None:
    """The network was down, not the process: nothing is lost then, or by its real figures only."""
    borrow(A, 500)
    ledger.expire(LATER)
    assert borrow.standing.lost == 500
    if way == "borrow":
        assert borrow(A, 100, now=held(500, 350, 50)).granted == 500
        assert borrow.standing == Standing(500, 0, 150, 50, 1, False)
    elif way == "heartbeat":
        assert ledger.heartbeat(A, [held(500, 350, 50)], NOW, LATER + 30)[0].granted == 500
        assert borrow.standing == Standing(500, 0, 150, 50, 1, False)
    else:
        assert ledger.settle_dead(A, [held(500, 350, 50)], NOW) == [Loss(A, PORT, 50)]
        assert borrow.standing == Standing(400, 50, 0, 0, 0, False)


def test_who_has_spent_less_than_the_lease_does_not_speak_of_it(ledger: Ledger, borrow: Borrower) -> None:
    """The lease is of another life of its holder, as in an older copy of the database: it has to join."""
    borrow(A, 500)
    ledger.heartbeat(A, [held(500, 300)], NOW, LATER)
    assert not borrow(A, 10).known
    assert not ledger.heartbeat(A, [held(500, 299)], NOW, LATER)[0].known
    assert not ledger.give_back(A, held(10, 10), NOW).known
    assert borrow.standing.committed == 500
    ledger.close_lease(A, held(500, 100))
    assert borrow.standing.committed == 300


@pytest.mark.parametrize("way", ["borrow", "heartbeat", "give_back"])
def test_who_speaks_of_a_lease_that_is_not_there_is_told_so(ledger: Ledger, borrow: Borrower, way: str) -> None:
    """It went with a database: nothing is made of its figures, as rows may have them."""
    borrow(B, 10)
    if way == "borrow":
        grant = borrow(A, 100, now=held(500, 300, 50))
    elif way == "heartbeat":
        (grant,) = ledger.heartbeat(A, [held(500, 300, 50)], NOW, LATER)
    else:
        grant = ledger.give_back(A, held(500, 300, 50), NOW)
    assert (grant.known, grant.fits, grant.granted) == (False, False, 0)
    ledger.close_lease(A, held(500, 300, 50))
    assert borrow.standing == Standing(10, 0, 10, 0, 1, False)


def test_speaking_of_a_window_that_nobody_opened_does_not_open_it(ledger: Ledger) -> None:
    """Its account is opened with rows, when somebody joins it who knows that they are there."""
    assert not ledger.heartbeat(A, [held(500, 300, 50)], NOW, LATER)[0].known
    assert not ledger.give_back(A, held(500, 300, 50), NOW).known
    ledger.close_lease(A, held(500, 300, 50))
    assert ledger.windows(NOW) == []


@pytest.mark.parametrize("recount", [False, True])
def test_who_joins_an_account_that_it_opens_adds_its_figures_to_the_rows(ledger: Ledger, recount: bool) -> None:
    """Rows have what ended before, the figures what no row shows."""
    ledger.record([row(1, 300)])
    grant = ledger.join(A, held(70, 20, 50), now=NOW, expires_at=LATER, recount=recount)
    assert (grant.known, grant.granted) == (True, 70)
    assert grant.standing == Standing(370, 0, 50 + 20, 50, 1, False)  # rows may have the 20


def test_who_joins_an_account_makes_up_for_what_no_lease_covered(ledger: Ledger, borrow: Borrower) -> None:
    """By rows, of which those that others are known to have there are theirs."""
    ledger.record([row(1, 300)])
    borrow(B, 100)
    ledger.record([row(2, 60), row(3, 200)])
    ledger.heartbeat(B, [Held(PORT, 100, 60, 0, shown=60)], NOW, LATER)
    ledger.join(A, held(50, 0, 50), now=NOW, expires_at=LATER, recount=False)
    assert borrow.standing.committed == 300 + 100 + 50
    ledger.join(A, held(50, 0, 50), now=NOW, expires_at=LATER, recount=True)
    assert borrow.standing.committed == 300 + 100 + 200 + 50


def test_rows_that_others_may_have_are_counted_rather_twice_than_not(ledger: Ledger, borrow: Borrower) -> None:
    """Their last figures and the rows are not of the same moment: here one of the two calls is counted twice."""
    borrow(B, 100)
    ledger.record([row(1, 40), row(2, 200)])
    ledger.heartbeat(B, [Held(PORT, 100, 60, 0, shown=0)], NOW, LATER)
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 240 + 100


def test_what_was_counted_twice_is_taken_back_once_it_is_known(ledger: Ledger, borrow: Borrower) -> None:
    """When holders have told that rows show it; never more than rows leave uncovered, and what comes later is theirs."""
    borrow(B, 100)
    ledger.record([row(1, 40), row(2, 200), row(3, 7, instance="host-b")])
    ledger.recount(PORT, "host-a")
    assert (borrow.standing.committed, borrow.standing.used) == (240 + 100, 0)
    assert (ledger.in_doubt("host-a"), ledger.in_doubt("host-b")) == ([PORT], [])
    ledger.record([row(4, 20)])
    ledger.heartbeat(B, [Held(PORT, 100, 60, 0, shown=40)], NOW, LATER)
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 220 + 100
    ledger.heartbeat(B, [Held(PORT, 100, 60, 0, shown=60)], NOW, LATER)
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 200 + 100
    ledger.record([row(5, 40)])
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 200 + 100
    assert ledger.in_doubt("host-a") == [PORT]
    ledger.review(PORT, "host-a", last=True)
    assert (borrow.standing.committed, borrow.standing.used) == (200 + 100, 200 + 60)
    ledger.close_lease(B, held(100, 100))
    assert ledger.in_doubt("host-a") == []
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 200 + 100


def test_what_a_lease_that_ended_had_spent_was_not_uncovered(ledger: Ledger, borrow: Borrower) -> None:
    """It is covered then, and what was counted twice comes back; a second doubt adds to the first."""
    borrow(A, 100)
    borrow(B, 100)
    ledger.record([row(1, 60)])
    ledger.recount(PORT, "host-a")
    ledger.record([row(2, 30)])
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 90 + 200
    ledger.settle_dead(A, [held(100, 60)], NOW)
    ledger.close_lease(B, held(100, 20))
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 10 + 60 + 20
    assert ledger.in_doubt("host-a") == []


def test_what_leases_had_that_expired_is_doubtful_too(ledger: Ledger, borrow: Borrower) -> None:
    """Their holders may speak again, and tell that rows show it.  Until then it counts as used."""
    borrow(A, 500)
    borrow(B, 100)
    ledger.heartbeat(A, [held(500, 40)], NOW, LATER)
    ledger.record([row(1, 40), row(2, 300)])
    ledger.expire(LATER)
    ledger.recount(PORT, "host-a")
    assert (borrow.standing.committed, borrow.standing.used) == (600 + 300, 600 + 300)
    ledger.heartbeat(A, [Held(PORT, 500, 340, 0, shown=340)], NOW, LATER + 60)
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 600
    ledger.heartbeat(B, [held(100, 0)], NOW, LATER + 60)
    assert borrow.standing.used == 340


def test_what_is_in_doubt_is_decided_before_lost_tokens_are_released(ledger: Ledger, borrow: Borrower) -> None:
    """Or these would come back for those that were counted twice, and so would they."""
    borrow(A, 100)
    borrow(B, 100)
    ledger.record([row(1, 60)])
    ledger.recount(PORT, "host-a")
    ledger.give_up(A)
    ledger.close_lease(B, held(100, 60))
    assert ledger.release_lost(PORT) == Release(PORT, 100, 0)
    assert borrow.standing.committed == 60
    assert ledger.in_doubt("host-a") == []


def test_an_installation_makes_up_for_its_own_calls_only(ledger: Ledger, borrow: Borrower) -> None:
    """Rows and leases of others may be of different moments: it is nobody's affair but theirs."""
    ledger.record([row(1, 300), row(2, 30, instance="host-b")])
    borrow(A, 100)
    borrow(C, 200)
    ledger.heartbeat(C, [held(200, 150)], NOW, LATER)
    ledger.record([row(3, 60), row(4, 150, instance="host-b"), row(5, 7, instance="host-b")])
    ledger.close_lease(A, held(100, 60))
    assert borrow.standing.committed == 330 + 60 + 200
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 330 + 60 + 200
    ledger.close_lease(C, held(200, 150))
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 330 + 60 + 150
    ledger.recount(PORT, "host-b")
    assert borrow.standing.committed == 330 + 60 + 157


def test_what_a_lease_that_ended_had_spent_is_covered(ledger: Ledger, borrow: Borrower) -> None:
    """In whatever way it ended; of one whose figures are lost only what it had told."""
    for holder in (A, B):
        borrow(holder, 100)
    dead = Holder("host-a", 2)
    borrow(dead, 100)
    ledger.heartbeat(dead, [held(100, 30)], NOW, LATER)
    ledger.close_lease(A, held(100, 10))
    ledger.settle_dead(B, [held(100, 20, 5)], NOW)
    ledger.give_up(dead)
    ledger.record([row(1, 10), row(2, 20), row(3, 30)])
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 10 + 25 + 100
    ledger.record([row(4, 40)])
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 10 + 25 + 100 + 40


def test_lost_tokens_that_rows_show_are_covered_once_they_were_released(ledger: Ledger, borrow: Borrower) -> None:
    """They are used, and no call without a lease."""
    borrow(A, 500)
    ledger.give_up(A)
    ledger.record([row(1, 150)])
    assert ledger.release_lost(PORT) == Release(PORT, 350, 150)
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 150


def test_joining_twice_counts_once(ledger: Ledger, borrow: Borrower) -> None:
    """An answer got lost; what the first lease had spent stays, as the figures begin anew."""
    ledger.join(A, held(70, 20, 50), now=NOW, expires_at=LATER, recount=False)
    ledger.record([row(1, 20), row(2, 30)])
    grant = ledger.join(A, held(25, 5, 20), now=NOW, expires_at=LATER, recount=True)
    assert grant.granted == 25
    assert borrow.standing.committed == 50 + 25
    ledger.review(PORT, "host-a", last=True)
    assert borrow.standing == Standing(50 + 25, 0, 20, 20, 1, False)


def test_the_dead_are_settled_once(ledger: Ledger, borrow: Borrower) -> None:
    """The answer got lost, or the process died before it had removed the file: said again, and nothing is done."""
    borrow(A, 500)
    assert ledger.settle_dead(A, [held(500, 120, 80)], NOW) == [Loss(A, PORT, 80)]
    assert ledger.settle_dead(A, [held(500, 120, 80)], NOW) == []
    assert borrow.standing == Standing(200, 80, 0, 0, 0, False)
    assert not borrow(A, 1).known
    assert not ledger.join(A, held(), now=NOW, expires_at=LATER, recount=False).known
    ledger.forget(NOW + 1)
    assert borrow(A, 1).known


def test_the_dead_whose_lease_the_ledger_does_not_have(ledger: Ledger, borrow: Borrower) -> None:
    """What they had reserved is lost; what they spent is for rows, and the account has to make up for it."""
    borrow(B, 10)
    assert ledger.settle_dead(A, [held(500, 120, 80)], NOW) == [Loss(A, PORT, 80, followed=False)]
    assert borrow.standing == Standing(90, 80, 10, 0, 1, False)


def test_closing_twice_closes_once(ledger: Ledger, borrow: Borrower) -> None:
    """The answer got lost."""
    borrow(A, 500)
    for _ in range(2):
        ledger.close_lease(A, held(500, 120))
    assert borrow.standing == Standing(120, 0, 0, 0, 0, False)


def test_lost_tokens_that_no_row_shows_are_released(ledger: Ledger, borrow: Borrower) -> None:
    """Those that rows show were used after all; leases of the living are left alone."""
    borrow(A, 500)
    borrow(B, 100)
    ledger.heartbeat(B, [held(100, 60)], NOW, LATER + 99)
    ledger.expire(LATER)
    ledger.record([row(1, 150), row(2, 60)])
    assert ledger.release_lost(PORT) == Release(PORT, 350, 150)
    assert borrow.standing == Standing(250, 0, 40, 0, 1, False)
    assert ledger.release_lost(PORT) == Release(PORT, 0, 0)


def test_who_comes_back_after_a_release_brings_its_use_only(ledger: Ledger, borrow: Borrower) -> None:
    """What was released may be with others: the lease that lives on is no greater than what it used."""
    borrow(A, 500)
    ledger.expire(LATER)
    ledger.record([row(1, 150)])
    ledger.release_lost(PORT)
    assert borrow(B, 850).fits
    assert ledger.heartbeat(A, [held(500, 150, 0)], NOW, LATER)[0].granted == 150
    (grant,) = ledger.heartbeat(A, [held(500, 180, 20)], NOW, LATER)
    assert grant.granted == 200
    assert grant.standing.committed == 1050


def test_a_window_that_was_not_watched_is_counted_again(ledger: Ledger, borrow: Borrower) -> None:
    """Calls that passed while the budget was off are in the rows, and never make the account smaller."""
    ledger.record([row(1, 100)])
    borrow(A, 50)
    ledger.record([row(2, 400)])
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 550
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 550
    ledger.review(PORT, "host-a", last=False)
    assert borrow.standing.committed == 550
    borrow(B, 300)
    ledger.close_lease(B, held(300, 300))
    ledger.recount(PORT, "host-a")
    assert borrow.standing.committed == 850


def test_windows_that_are_over_are_forgotten(ledger: Ledger, borrow: Borrower) -> None:
    """With their leases; one that is not over stays."""
    day = structs.replace(PORT, period="day", end=MARCH + 86400)
    borrow(A, 50)
    ledger.borrow(A, held(window=day), cap=100, need=10, most=0, now=NOW, expires_at=LATER)
    assert ledger.windows(MARCH + 86400) == [PORT]
    assert ledger.forget(MARCH + 86401) == 1
    assert ledger.window(day, NOW) is None
    assert ledger.give_up(A) == [Loss(A, PORT, 50)]
    assert ledger.forget(APRIL) == 0
