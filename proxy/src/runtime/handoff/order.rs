//! Orders, from whoever gives them to the answer; the one to upgrade is carried out here.
//!
//! Owns the loop in which the process serves until it is asked to end or another one follows it,
//! and what is told of an upgrade: the answer, a line of the log, a number, a word to the
//! supervisor. Refuses to know how an upgrade is done. Read next: `predecessor`.

use serde_json::json;
use tracing::{info, warn};

use super::error::UpgradeError;
use super::predecessor::Upgrades;
use crate::control::{Order, OrderQueue, Pending, Verdict};
use crate::log::Chain;
use crate::runtime::configure::Asks;
use crate::runtime::signals::{Heard, Signals};
use crate::runtime::supervisor::{Notice, Supervisor};
use crate::runtime::world::World;

/// What came of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::runtime) enum Came {
    /// Everything is as before.
    Nothing,
    /// Another process serves: this one leaves.
    Upgraded,
    /// This process was told to end meanwhile, and so has the other one.
    End,
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
                Heard::End => return Came::End,
                Heard::HangUp => continue,
                Heard::Upgrade => None,
            },
            pending = queue.next() => Some(pending),
        };
        match pending {
            Some(pending) if pending.order == Order::Drain => {
                pending.answer(Verdict::Done(json!({ "phase": "leaving" })));
                return Came::End;
            }
            Some(pending) if pending.order != Order::Upgrade => asks.give(pending),
            pending => match carry_out(&mut upgrades, world, pending, signals, supervisor).await {
                Came::Nothing => {}
                came => return came,
            },
        }
    }
}

/// Carries out an order, which came by a signal if nobody waits for an answer.
async fn carry_out(
    upgrades: &mut Upgrades,
    world: &World,
    pending: Option<Pending>,
    signals: &mut Signals,
    supervisor: &Supervisor,
) -> Came {
    let sessions = world.current().sessions.clone();
    let outcome = tokio::select! {
        outcome = upgrades.run(&sessions) => Some(outcome),
        () = end_of(signals) => None,
    };
    let results = world.common().metrics.process().upgrades;
    let (came, result, verdict) = match outcome {
        Some(Ok(pid)) => {
            supervisor.tell(&Notice::Heir(pid.unsigned_abs()));
            info!(pid, "upgraded: another process serves");
            let verdict = json!({ "result": "upgraded", "pid": pid });
            (Came::Upgraded, "done", Verdict::Done(verdict))
        }
        Some(Err(error)) => {
            warn!(error = %Chain(&error), "not upgraded: this process serves on");
            let mut errors = vec![Chain(&error).to_string()];
            errors.extend(error.hint().map(|hint| format!("hint: {hint}")));
            let verdict = Verdict::Refused(json!({ "result": "rejected", "errors": errors }));
            (Came::Nothing, result_of(&error), verdict)
        }
        None => {
            upgrades.abort().await;
            let errors = ["this process was told to end meanwhile"];
            let verdict = Verdict::Refused(json!({ "result": "rejected", "errors": errors }));
            (Came::End, "failed", verdict)
        }
    };
    results.with_label_values(&[result]).inc();
    if let Some(pending) = pending {
        pending.answer(verdict);
    }
    came
}

/// Waits for a signal that ends the process; others are too early.
async fn end_of(signals: &mut Signals) {
    while signals.next().await != Heard::End {}
}

/// The word in metrics.
fn result_of(error: &UpgradeError) -> &'static str {
    match error {
        UpgradeError::Init | UpgradeError::NoLauncher | UpgradeError::Watched => "refused",
        UpgradeError::Died(_) => "rolled_back",
        _ => "failed",
    }
}
