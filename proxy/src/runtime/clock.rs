//! The clock of the machine: whether somebody has set it.
//!
//! Owns that a jump is said. Time-outs, and the turns of ticket keys, count by a clock that nobody
//! sets, so a jump ends nothing; but certificates are valid by the wall clock, and so is every log
//! that is read. Sleep of the machine is no jump. Refuses to know what is judged by the time.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

use crate::drain::DrainWatch;

/// Looks at the clocks now and then, until the drain.
pub(super) async fn watch(mut watch: DrainWatch) {
    let mut last = Reading::take();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = watch.finish() => return,
        }
        let now = Reading::take();
        if let Some(jump) = now.jump_since(&last) {
            let by = jump.by;
            warn!(?by, "the clock was set {}; certificates are valid by it", jump.direction());
        }
        last = now;
    }
}

/// What a clock of the machine shows that begins at its start.
pub(super) fn time_of(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), nanos)
}

/// Two clocks at one moment.
struct Reading {
    wall: SystemTime,
    /// Since the machine was started, its sleep included.
    steady: Duration,
}

/// How far the wall clock has moved by itself.
#[derive(Debug, Eq, PartialEq)]
struct Jump {
    by: Duration,
    is_back: bool,
}

impl Jump {
    fn direction(&self) -> &'static str {
        if self.is_back { "back" } else { "forward" }
    }
}

impl Reading {
    fn take() -> Self {
        Self { wall: SystemTime::now(), steady: time_of(ClockId::Boottime) }
    }

    /// A jump that is worth a word; clocks that are kept in time move by less.
    fn jump_since(&self, before: &Self) -> Option<Jump> {
        let expected = before.wall.checked_add(self.steady.saturating_sub(before.steady))?;
        let (by, is_back) = match self.wall.duration_since(expected) {
            Ok(ahead) => (ahead, false),
            Err(behind) => (behind.duration(), true),
        };
        (by > JUMP_MIN).then_some(Jump { by, is_back })
    }
}

/// How often somebody looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Less than this is how clocks are kept in time.
const JUMP_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn only_a_clock_that_was_set_jumps() {
        let reading = |wall, steady| Reading {
            wall: UNIX_EPOCH + Duration::from_secs(wall),
            steady: Duration::from_secs(steady),
        };
        let before = reading(1_000_000, 100);
        let jump = |wall, steady| reading(wall, steady).jump_since(&before);
        assert_eq!(jump(1_000_005, 105), None);
        assert_eq!(jump(1_003_600, 3_700), None, "asleep for an hour");
        assert_eq!(jump(1_000_065, 105), None, "a minute is how clocks are kept");
        let year = Duration::from_secs(31_536_000);
        assert_eq!(jump(32_536_005, 105), Some(Jump { by: year, is_back: false }));
        let hours = Duration::from_secs(7_200);
        assert_eq!(jump(992_805, 105), Some(Jump { by: hours, is_back: true }));
        assert_eq!(jump(0, 105).unwrap().direction(), "back");
    }
}
