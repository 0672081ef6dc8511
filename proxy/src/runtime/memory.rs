//! How much memory there is, how much of it is in use, and telling those who can do something.
//!
//! Owns the thread that measures: what the control group of the process has left, and what the
//! process itself uses of what the configuration gives it. It is a thread of its own, so that it is
//! heard when workers have too much to do. What follows is decided in `limit::memory`. Read next:
//! `cgroup`, where the numbers come from.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use super::allocator::Allocator;
use super::cgroup::{Cgroup, GroupMemory};
use crate::limit::{Barometer, Memory, Pressure, Reading};
use crate::metrics::{Limit, ProcessMetrics, code_bytes, own_bytes};

/// The thread that measures; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    _stop: SyncSender<()>,
}

/// What is measured.
struct Scales {
    cgroup: Option<Cgroup>,
    /// What the process may use by its configuration.
    own_max: Option<NonZeroU64>,
}

/// Of what there is the least left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Weight {
    used: u64,
    available: NonZeroU64,
}

/// Memory, guarded if there is a limit to it: that of the configuration, or else that of the
/// control group.
pub(super) fn guard(
    own_max: Option<NonZeroU64>,
    metrics: &ProcessMetrics,
) -> (Arc<Memory>, Option<Guard>) {
    let scales = Scales { cgroup: Cgroup::find(), own_max };
    let Some(reading) = scales.read() else {
        info!("memory is not guarded: no control group limits it, nor does `server.memory_max`");
        return (Memory::unguarded(), None);
    };
    let memory = Memory::guarded();
    let (stop, stopped) = mpsc::sync_channel(0);
    let (watched, metrics) = (Arc::clone(&memory), metrics.clone());
    let watch = move || watch(&scales, &watched, &metrics, &stopped);
    match thread::Builder::new().name("memory".to_owned()).spawn(watch) {
        Ok(_) => {
            info!(available = reading.available, "memory is guarded");
            (memory, Some(Guard { _stop: stop }))
        }
        Err(error) => {
            warn!(%error, "memory is not guarded: its thread cannot start");
            (Memory::unguarded(), None)
        }
    }
}

fn watch(scales: &Scales, memory: &Memory, metrics: &ProcessMetrics, stopped: &Receiver<()>) {
    let mut barometer = Barometer::default();
    let mut allocator = Allocator::default();
    let mut level = Pressure::None;
    let mut period = PERIOD;
    let mut last = u64::MAX;
    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        if level == Pressure::Critical {
            // What those had who were reset still looks used while the allocator keeps it.
            allocator.give_back_now_and_then();
        }
        let Some(Weight { used, available }) = scales.read() else { continue };
        // What comes between two looks will come again before the next.
        let soon = used.saturating_add(used.saturating_sub(last));
        last = used;
        let reading = Reading { used, soon, connections: memory.connections() };
        let next = barometer.read(reading, available);
        memory.enter(next);
        tell(level, next, used, available);
        level = next;
        metrics.memory_pressure.set(level.index().into());
        metrics.memory_used.set(i64::try_from(used).unwrap_or(i64::MAX));
        metrics.memory_available.set(i64::try_from(available.get()).unwrap_or(i64::MAX));
        if level == Pressure::Critical {
            let count = memory.break_off(level.excess(soon, available));
            metrics.limit_hits.of(Limit::Memory).inc_by(count as u64);
        }
        period = period_after(soon, available);
    }
}

/// What connections may have of it. A small limit has a small last part, which buffers that are on
/// their way could fill at once.
fn all_but_a_reserve(available: NonZeroU64) -> NonZeroU64 {
    let reserve = (available.get() / 10).min(RESERVE_BYTES_MAX);
    NonZeroU64::new(available.get() - reserve).unwrap_or(available)
}

/// How soon to look again: before all that is left can be in use.
fn period_after(used: u64, available: NonZeroU64) -> Duration {
    let left = available.get().saturating_sub(used);
    Duration::from_millis(left / GROWTH_BYTES).clamp(PERIOD_MIN, PERIOD)
}

/// Says once what changes.
fn tell(level: Pressure, next: Pressure, used: u64, available: NonZeroU64) {
    let what = match next {
        _ if next == level => return,
        Pressure::None => {
            info!(used, available, "memory suffices again");
            return;
        }
        Pressure::High => "connections end after what they are at, pools are emptied",
        Pressure::Severe => "nothing new is accepted",
        Pressure::Critical => "the largest connections are reset",
    };
    warn!(used, available, "memory runs short: {what}");
}

impl Scales {
    /// What there is the least left of; nothing if nothing limits.
    fn read(&self) -> Option<Weight> {
        let own = || {
            let available = self.own_max?;
            Some(Weight { used: own_bytes()?, available })
        };
        let group = || {
            let GroupMemory { held, files, limit } = self.cgroup.as_ref()?.read()?;
            // Files can go, but for the code: where that has to be read again and again, nothing
            // gets on any more.
            let code = files.min(code_bytes().unwrap_or(0));
            Some(Weight { used: held + code, available: limit })
        };
        let Weight { used, available } = tightest(own(), group())?;
        Some(Weight { used, available: all_but_a_reserve(available) })
    }
}

fn tightest(one: Option<Weight>, other: Option<Weight>) -> Option<Weight> {
    let part =
        |reading: &Weight| (u128::from(reading.used) << 32) / u128::from(reading.available.get());
    one.into_iter().chain(other).max_by_key(part)
}

/// Between two readings while there is enough.
const PERIOD: Duration = Duration::from_millis(250);

/// The same while there is next to nothing.
const PERIOD_MIN: Duration = Duration::from_millis(5);

/// What is kept back where there is much.
const RESERVE_BYTES_MAX: u64 = 16 << 20;

/// What may come in a millisecond, at the fastest that buffers are filled.
const GROWTH_BYTES: u64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_two_limits_counts() {
        let reading = |used, available| {
            let available = NonZeroU64::new(available).expect("it is not 0");
            Some(Weight { used, available })
        };
        let (roomy, tight) = (reading(500, 1_000), reading(60, 100));
        assert_eq!(tightest(roomy, tight), tight);
        assert_eq!(tightest(tight, roomy), tight);
        assert_eq!(tightest(None, roomy), roomy);
        assert_eq!(tightest(None, None), None);
    }

    #[test]
    fn the_less_is_left_the_sooner_it_is_looked_at_again() {
        let mebibytes = |used: u64, available: u64| {
            let available = NonZeroU64::new(available << 20).expect("it is not 0");
            period_after(used << 20, available)
        };
        assert_eq!(mebibytes(100, 4_096), PERIOD);
        assert_eq!(mebibytes(54, 64), Duration::from_millis(20));
        assert_eq!(mebibytes(1_023, 1_024), PERIOD_MIN);
        assert_eq!(mebibytes(2_000, 1_024), PERIOD_MIN);
    }

    #[test]
    fn the_process_itself_can_be_weighed() {
        let scales = Scales { cgroup: None, own_max: NonZeroU64::new(1 << 40) };
        let reading = scales.read().expect("proc is mounted where tests run");
        assert!(reading.used > 1 << 20, "{reading:?}");
        let code = code_bytes().expect("proc is mounted where tests run");
        assert!(code > 1 << 20, "{code}");
        assert_eq!(Scales { cgroup: None, own_max: None }.read(), None);
    }
}
