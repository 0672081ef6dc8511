//! The way out: from the first word of the end to the last connection.
//!
//! Owns its order. Clients and those who send them are told first; new connections are still
//! accepted for a while, since not everybody hears at once; then what is going on may finish, and
//! what does not in time is cut. Who asks a second time gets all of that at once. Refuses to know
//! what connections do when they hear of it.

use serde_json::json;
use tokio::time::{Duration, sleep, timeout};
use tracing::{info, warn};

use super::End;
use super::handoff::Came;
use super::signals::{Heard, Signals};
use super::supervisor::{self, Supervisor};
use crate::config;
use crate::control::{Order, OrderQueue, Pending, Verdict};
use crate::count::IntCounter;
use crate::drain::Drain;
use crate::limit::Slots;
use crate::phase::{Phase, PhaseTeller};

/// How long each part of the way takes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// What comes after the first word is still accepted.
    pub(super) delay: Duration,
    /// What is going on may finish.
    pub(super) timeout: Duration,
    /// The part of that in which nobody is let go who waits for a client: an idle connection that
    /// is ended at the moment of a request loses it.
    pub(super) patience: Duration,
}

/// Where the end was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// Of the other process of an upgrade: whoever did may be about to ask this one as well.
    Elsewhere,
    /// Of this process.
    Here,
}

impl Plan {
    /// What the operator wants.
    pub(super) fn of(server: &config::Server) -> Self {
        let patience = Duration::ZERO;
        Self { delay: server.drain_delay, timeout: server.drain_timeout, patience }
    }

    /// Another process serves: who comes new comes to that one, and who is here has half of the
    /// time to hear of it with the next answer.
    pub(super) fn for_another(self) -> Self {
        Self { delay: Duration::ZERO, patience: self.timeout / 2, ..self }
    }

    /// Another process serves for the delay, then ends as well: who is here has as much time as who
    /// comes to that one.
    pub(super) fn beside_another(self) -> Self {
        let timeout = self.delay.saturating_add(self.timeout);
        Self { delay: Duration::ZERO, timeout, patience: self.delay }
    }
}

/// Whom the end is told to, and who may have it come sooner.
pub(super) struct Company<'a> {
    /// Readiness and accepting follow.
    pub(super) teller: &'a PhaseTeller,
    pub(super) signals: &'a mut Signals,
    pub(super) orders: &'a mut OrderQueue,
    /// Those who are connected have one each.
    pub(super) slots: &'a Slots,
    /// Those of them who were cut are counted here.
    pub(super) forced: &'a IntCounter,
    pub(super) supervisor: &'a Supervisor,
}

/// Ends everything that `drain` waits for, as `came` says, with the time that `server` grants.
pub(super) async fn leave(
    came: Came,
    server: &config::Server,
    mut drain: Drain,
    company: Company<'_>,
) -> End {
    let plan = Plan::of(server);
    let (plan, asked, companion) = match came {
        Came::Upgraded | Came::Nothing => (plan.for_another(), Asked::Here, None),
        Came::End(asked, None) => (plan, asked, None),
        Came::End(asked, companion) => (plan.beside_another(), asked, companion),
    };
    let Company { teller, signals, orders, slots, forced, supervisor } = company;
    let time = plan.delay.saturating_add(plan.timeout);
    // Whoever follows speaks to the supervisor from now on.
    supervisor.tell(&supervisor::Notice::Stopping(time));
    let all = async {
        let others = async {
            if let Some(companion) = &companion {
                let _ = timeout(time + COMPANION_MARGIN, companion.over()).await;
            }
        };
        tokio::join!(part(plan, teller, slots, &mut drain), others);
    };
    let is_forced = tokio::select! {
        () = all => false,
        () = impatience(signals, orders, asked) => true,
    };
    let is_companion_cut = match &companion {
        Some(companion) => companion.cut().await,
        None => false,
    };
    if is_forced {
        // Nothing may be accepted from here on, and what has nothing to finish is not cut.
        teller.enter(Phase::Draining);
        drain.finish(LAST_MOMENT).await;
    }
    let forced_before = forced.get();
    drain.cut().await;
    // What goes on besides connections loses nothing by its end. Who still has a place did not even
    // hear of it.
    let cut = usize::try_from(forced.get() - forced_before).unwrap_or(usize::MAX);
    match (is_forced, cut.saturating_add(slots.taken())) {
        (false, 0) if is_companion_cut => End::Cut,
        (false, 0) => End::Clean,
        (false, left) => {
            warn!(left, "the drain timeout ended connections that had not finished");
            End::Cut
        }
        (true, 0) => End::Forced,
        (true, left) => {
            warn!(left, "a second signal ended connections that had not finished");
            End::Forced
        }
    }
}

/// Goes on accepting for the delay, then lets everything finish.
async fn part(plan: Plan, teller: &PhaseTeller, slots: &Slots, drain: &mut Drain) {
    let Plan { delay, timeout: in_time, patience } = plan;
    teller.enter(Phase::Leaving);
    drain.leave();
    info!(?delay, "leaving: not ready any more; another signal ends at once");
    sleep(delay).await;
    teller.enter(Phase::Draining);
    info!(timeout = ?in_time, "draining: listeners are closed");
    let _ = timeout(patience, slots.vacant()).await;
    drain.finish(in_time.saturating_sub(patience)).await;
}

/// Waits for another signal to end, and says of everything else that it is too late for that.
async fn impatience(signals: &mut Signals, orders: &mut OrderQueue, mut asked: Asked) {
    loop {
        tokio::select! {
            heard = signals.next() => match heard {
                Heard::End if asked == Asked::Elsewhere => {
                    asked = Asked::Here;
                    info!("leaving already, with the other process of the upgrade");
                }
                Heard::End => return,
                heard => info!(signal = heard.name(), "ignored: the process is leaving"),
            },
            pending = orders.next() => decline(pending),
        }
    }
}

fn decline(pending: Pending) {
    let verdict = match pending.order {
        Order::Drain | Order::Follow => Verdict::Done(json!({ "phase": "leaving" })),
        Order::Rehearse | Order::Reload | Order::Upgrade => {
            Verdict::Refused(json!({ "errors": ["the process is leaving"] }))
        }
    };
    pending.answer(verdict);
}

/// From the end of the time of a process to its own.
const COMPANION_MARGIN: Duration = Duration::from_secs(3);
/// What ends by itself gets this long when everything is to end at once.
const LAST_MOMENT: Duration = Duration::from_millis(100);
