//! Orders, from whoever gives them to the answer; the one to upgrade is carried out here.
//!
//! Owns the loop in which the process serves until it is asked to end or another one follows it,
//! and what is told of an upgrade: the answer, a line of the log, a number, a word to the
//! supervisor. Refuses to know how an upgrade is done. Read next: `predecessor`.

use std::cell::Cell;

use serde_json::json;
use tracing::{info, warn};

use super::error::UpgradeError;
use super::heir::Companion;
use super::predecessor::{Followed, Upgrades};
use crate::control::{Order, OrderQueue, Pending, Verdict};
use crate::log::Chain;
use crate::runtime::configure::Asks;
use crate::runtime::leave::Asked;
use crate::runtime::signals::{Heard, Signals};
use crate::runtime::supervisor::{Notice, Supervisor};
use crate::runtime::world::World;

/// What came of an order.
#[derive(Debug)]
pub(in crate::runtime) enum Came {
    /// This process was told to end, and with it the new one, if there is one.
    End(Asked, Option<Companion>),
    /// Everything is as before.
    Nothing,
    /// Another process serves: this one leaves.
    Upgraded,
}

/// Carries out what signals and operators ask for, until one of them asks for the end, or another
/// process serves.
pub(in crate::runtime) async fn serve(
    signals: &mut Signals,
    (queue, asks): (&mut OrderQueue, &Asks),
    world: &World,
    mut upgrades: Upgrades,
    supervisor: &Supervisor,
) -> Came {
    loop {
        let pending = tokio::select! {
            heard = signals.next() => match heard {
                Heard::End => return Came::End(Asked::Here, None),
                Heard::HangUp => continue,
                Heard::Upgrade => None,
            },
            pending = queue.next() => Some(pending),
        };
        match pending {
            Some(pending) if let Some(asked) = end_of(pending.order) => {
                pending.answer(leaving());
                return Came::End(asked, None);
            }
            Some(pending) if pending.order != Order::Upgrade => asks.give(pending),
            pending => {
                let means = (&mut *signals, (&mut *queue, asks));
                match carry_out(&mut upgrades, world, pending, means, supervisor).await {
                    Came::Nothing => {}
                    came => return came,
                }
            }
        }
    }
}

/// Carries out an order, which came by a signal if nobody waits for an answer.
async fn carry_out(
    upgrades: &mut Upgrades,
    world: &World,
    pending: Option<Pending>,
    (signals, (queue, asks)): (&mut Signals, (&mut OrderQueue, &Asks)),
    supervisor: &Supervisor,
) -> Came {
    let sessions = world.current().sessions.clone();
    let heard = Cell::new(None);
    let end = async { heard.set(Some(end_asked(signals, queue, asks).await)) };
    let outcome = upgrades.run(&sessions, end).await;
    let results = world.common().metrics.process().upgrades;
    let (came, result, verdict) = match (outcome, heard.take()) {
        (Ok(Followed::Upgraded(pid, packets)), _) => {
            supervisor.tell(&Notice::Heir(pid.unsigned_abs()));
            drop(packets);
            info!(pid, "upgraded: another process serves");
            let verdict = json!({ "result": "upgraded", "pid": pid });
            (Came::Upgraded, None, Verdict::Done(verdict))
        }
        (Ok(Followed::Leave(companion, asked)), _) => {
            info!(?asked, "the end was asked for meanwhile: both processes leave");
            let verdict = refused(&["the process was told to end meanwhile"]);
            (Came::End(asked, Some(companion)), None, verdict)
        }
        (Err(error), heard) => {
            warn!(error = %Chain(&error), "not upgraded: this process serves on");
            let mut errors = vec![Chain(&error).to_string()];
            errors.extend(error.hint().map(|hint| format!("hint: {hint}")));
            let came = heard.map_or(Came::Nothing, |asked| Came::End(asked, None));
            (came, Some(result_of(&error)), refused(&errors))
        }
    };
    // Those that are done are counted by who serves on: nobody asks this process any more.
    if let Some(result) = result {
        results.with_label_values(&[result]).inc();
    }
    if let Some(pending) = pending {
        pending.answer(verdict);
    }
    came
}

/// Waits until this process is asked to end, and answers whoever asks for anything else: nobody is
/// kept waiting by an upgrade.
async fn end_asked(signals: &mut Signals, queue: &mut OrderQueue, asks: &Asks) -> Asked {
    loop {
        let pending = tokio::select! {
            heard = signals.next() => match heard {
                Heard::End => return Asked::Here,
                Heard::HangUp | Heard::Upgrade => continue,
            },
            pending = queue.next() => pending,
        };
        match (end_of(pending.order), pending.order) {
            (Some(asked), _) => {
                pending.answer(leaving());
                return asked;
            }
            (None, Order::Upgrade) => pending.answer(refused(&["an upgrade is under way"])),
            (None, _) => asks.give(pending),
        }
    }
}

/// Who asks for the end by this order, if it does.
fn end_of(order: Order) -> Option<Asked> {
    match order {
        Order::Drain => Some(Asked::Here),
        Order::Follow => Some(Asked::Elsewhere),
        Order::Rehearse | Order::Reload | Order::Upgrade => None,
    }
}

fn leaving() -> Verdict {
    Verdict::Done(json!({ "phase": "leaving" }))
}

fn refused<T: AsRef<str>>(errors: &[T]) -> Verdict {
    let errors: Vec<_> = errors.iter().map(AsRef::as_ref).collect();
    Verdict::Refused(json!({ "result": "rejected", "errors": errors }))
}

/// The word in metrics.
fn result_of(error: &UpgradeError) -> &'static str {
    match error {
        UpgradeError::Init
        | UpgradeError::NoLauncher
        | UpgradeError::Reloading
        | UpgradeError::Watched => "refused",
        UpgradeError::Died(_) => "rolled_back",
        _ => "failed",
    }
}
