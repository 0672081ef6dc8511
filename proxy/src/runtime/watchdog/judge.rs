//! When a worker has stalled: a decision of what was seen of it.
//!
//! Owns [`Case`], one for each worker. A worker that waits for work is well, and so is one that
//! moves from one piece of work to the next. Of another one, only that time counts in which it
//! could have moved: while it ran, or while it waited for something that is not the processor.
//! Neither a machine without time for it nor a process that was stopped makes a stall. That it
//! waits for a disk is told, and ends nothing: another process would wait for the same disk.
//! Refuses to know where what was seen comes from.

use std::time::Duration;

/// What shows that a worker moves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Progress {
    /// How often it began or ceased to wait for work.
    pub(super) turns: u64,
    /// For how long it has worked, as it says now and then.
    pub(super) busy: Duration,
    /// Whether it waits for work.
    pub(super) is_parked: bool,
}

/// What the system says that a thread is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Activity {
    /// It waits for something that is not the processor.
    Blocked,
    /// It waits for a disk, or for a page of its memory that has to come from one.
    Disk,
    /// It runs, or would if there were a processor for it; so much it ran in its life.
    Running(Duration),
    /// Somebody stopped it, as a debugger does.
    Stopped,
    /// The system does not say.
    Unknown,
}

/// How long is too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// When people are told.
    pub(super) tell_after: Duration,
    /// When there is no hope.
    pub(super) end_after: Duration,
}

/// What is to be made of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It does not move, and is not going to.
    Lost(Duration),
    /// It moves again, after so long.
    Recovered(Duration),
    /// It has not moved for long, which was not said before.
    Stalled(Duration),
    /// There is nothing new to say.
    Well,
}

/// What is known of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Case {
    seen: Progress,
    ran: Option<Duration>,
    /// For how long it could have moved and did not.
    stalled: Duration,
    /// For how long it waited for a disk besides.
    waited: Duration,
    is_told: bool,
}

impl Case {
    /// What is to be made of a worker that shows `progress`, `span` after it was last looked at.
    /// What it is doing is only asked for if it does not move.
    pub(super) fn look(
        &mut self,
        progress: Progress,
        span: Duration,
        activity: impl FnOnce() -> Activity,
        bounds: Bounds,
    ) -> Verdict {
        if !self.is_unmoved(progress) {
            let before = std::mem::replace(self, Self { seen: progress, ..Self::default() });
            return match before.is_told {
                true => Verdict::Recovered(before.stalled + before.waited),
                false => Verdict::Well,
            };
        }
        let activity = activity();
        if activity == Activity::Disk {
            self.waited += span;
        }
        self.stalled += match (activity, self.ran) {
            (Activity::Blocked | Activity::Unknown, _) => span,
            // What it ran since the last time, not what it waited for the processor.
            (Activity::Running(now), Some(before)) => now.saturating_sub(before).min(span),
            (Activity::Running(_), None) | (Activity::Disk | Activity::Stopped, _) => {
                Duration::ZERO
            }
        };
        if let Activity::Running(now) = activity {
            self.ran = Some(now);
        }
        if self.stalled >= bounds.end_after {
            Verdict::Lost(self.stalled)
        } else if self.stalled + self.waited >= bounds.tell_after && !self.is_told {
            self.is_told = true;
            Verdict::Stalled(self.stalled + self.waited)
        } else {
            Verdict::Well
        }
    }

    /// Whether the worker that shows `progress` has something to do and has not got on with it
    /// since the last look.
    pub(super) fn is_unmoved(&self, progress: Progress) -> bool {
        !progress.is_parked && progress == self.seen
    }

    /// Whether the worker was said to have stalled, and has not recovered.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(500);
    const BOUNDS: Bounds =
        Bounds { tell_after: Duration::from_secs(1), end_after: Duration::from_secs(5) };
    const STUCK: Progress = Progress { turns: 8, busy: Duration::ZERO, is_parked: false };

    fn looks(case: &mut Case, activities: impl IntoIterator<Item = Activity>) -> Vec<Verdict> {
        let looks =
            activities.into_iter().map(|activity| case.look(STUCK, TICK, || activity, BOUNDS));
        looks.filter(|verdict| *verdict != Verdict::Well).collect()
    }

    fn seconds(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    #[test]
    fn a_worker_that_blocks_is_told_of_at_a_fifth_of_the_time_and_lost_at_the_end() {
        let mut case = Case::default();
        let verdicts = looks(&mut case, [Activity::Blocked; 11]);
        assert_eq!(verdicts, [Verdict::Stalled(seconds(10)), Verdict::Lost(seconds(50))]);
    }

    #[test]
    fn a_worker_that_spins_is_judged_by_the_time_that_it_ran() {
        let mut case = Case::default();
        // It has half a processor.
        let runs = (0..=21).map(|tick| Activity::Running(TICK / 2 * tick));
        let verdicts = looks(&mut case, runs);
        assert_eq!(verdicts.first(), Some(&Verdict::Stalled(seconds(10))));
        assert_eq!(verdicts.last(), Some(&Verdict::Lost(seconds(50))), "{verdicts:?}");
    }

    #[test]
    fn a_machine_that_has_no_time_for_a_worker_makes_no_stall() {
        let mut case = Case::default();
        let ran = Duration::from_secs(77);
        assert_eq!(looks(&mut case, [Activity::Running(ran); 1000]), []);
        assert_eq!(looks(&mut case, [Activity::Stopped; 1000]), []);
    }

    #[test]
    fn a_worker_that_waits_for_a_disk_is_told_of_and_never_lost() {
        let mut case = Case::default();
        let verdicts = looks(&mut case, [Activity::Disk; 1000]);
        assert_eq!(verdicts, [Verdict::Stalled(seconds(10))]);
        assert!(case.is_stalled());
        // What it does afterwards counts from its own beginning.
        assert_eq!(looks(&mut case, [Activity::Blocked; 9]), []);
        assert_eq!(looks(&mut case, [Activity::Blocked]), [Verdict::Lost(seconds(50))]);
    }

    #[test]
    fn a_worker_that_waits_for_work_or_moves_is_well_however_long() {
        let mut case = Case::default();
        for turn in 0..1000 {
            let parked = Progress { turns: 7, busy: Duration::ZERO, is_parked: true };
            assert_eq!(case.look(parked, TICK, || Activity::Blocked, BOUNDS), Verdict::Well);
            let busy = Progress { turns: 8, busy: TICK * turn, is_parked: false };
            assert_eq!(case.look(busy, TICK, || Activity::Blocked, BOUNDS), Verdict::Well);
        }
    }

    #[test]
    fn a_worker_that_moves_again_is_told_of_once_and_begins_anew() {
        let mut case = Case::default();
        looks(&mut case, [Activity::Blocked; 5]);
        assert!(case.is_stalled());
        let moved = Progress { turns: 10, ..STUCK };
        let recovered = case.look(moved, TICK, || Activity::Blocked, BOUNDS);
        assert_eq!(recovered, Verdict::Recovered(seconds(20)));
        assert!(!case.is_stalled());
        let again = case.look(moved, TICK, || Activity::Blocked, BOUNDS);
        assert_eq!(again, Verdict::Well);
    }
}
