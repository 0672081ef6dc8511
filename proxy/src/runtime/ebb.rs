//! What is kept for later is given back: when a crowd has left, and while memory is short.
//!
//! Owns the look at how many connections there are, and when `allocator` is told that most of them
//! have gone. Between one ebb and the next nothing is done, so that steady traffic pays nothing.
//! While memory is short, idle connections to endpoints go as well. Refuses to know who had what,
//! and how much memory there is: that is in `memory`.

use std::ops::BitOr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::allocator;
use super::world::World;
use crate::drain::DrainWatch;
use crate::limit::{Memory, Slots};

/// Looks at the connections from now on, until the drain, and has pools emptied while memory is
/// short.
pub(super) fn follow(world: &World, watch: &DrainWatch) {
    let common = world.common();
    let generations = world.generations();
    common.memory.on_pressure(move || {
        let now = Arc::clone(&generations.borrow());
        now.backends.iter().for_each(|backend| backend.rest());
    });
    let (slots, memory) = (Arc::clone(&common.slots), Arc::clone(&common.memory));
    watch.spawn(look(slots, memory, watch.clone()));
}

async fn look(slots: Arc<Slots>, memory: Arc<Memory>, mut watch: DrainWatch) {
    let mut tide = Tide::default();
    loop {
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = watch.finish() => return,
        }
        if tide.has_ebbed(slots.taken(), Instant::now()) || memory.is_short() {
            // It takes milliseconds, in which others may wait for the allocator.
            let _ = spawn_blocking(allocator::give_back).await;
        }
    }
}

/// How many connections there are, and were.
#[derive(Debug, Default)]
struct Tide {
    /// The most since the last ebb.
    high: usize,
    /// When those have gone as well who were about to, and who wait for somebody to come back.
    due: [Option<Instant>; 2],
}

impl Tide {
    /// Whether there is something to gain at `now`: most of the connections have gone, or had a
    /// while ago.
    fn has_ebbed(&mut self, connections: usize, now: Instant) -> bool {
        self.high = self.high.max(connections);
        let gone = self.high - connections;
        if gone >= FEW && gone >= self.high / 2 {
            self.high = connections;
            self.due = [SOON, IDLE].map(|after| Some(now + after));
            return true;
        }
        let was_due = |due: &mut Option<Instant>| due.take_if(|due| *due <= now).is_some();
        self.due.iter_mut().map(was_due).fold(false, BitOr::bitor)
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// What so few connections took is not worth the trouble.
const FEW: usize = 64;

/// After this long, what connections had that were counted as gone is free.
const SOON: Duration = Duration::from_secs(5);

/// After this long, connections to endpoints are closed too that nobody has used again.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look says at each second, of so many connections.
    fn looks(counts: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let (start, mut tide) = (Instant::now(), Tide::default());
        let seconds = counts.into_iter().enumerate();
        let gained = seconds.filter_map(|(second, connections)| {
            let now = start + Duration::from_secs(second as u64);
            tide.has_ebbed(connections, now).then_some(second)
        });
        gained.collect()
    }

    #[test]
    fn it_is_done_when_half_have_gone_and_again_when_nothing_is_left_of_them() {
        assert_eq!(looks([0, 1_000, 600, 500, 500, 500]), [3]);
        let long = [1_000].into_iter().chain(std::iter::repeat_n(10, 100));
        assert_eq!(looks(long), [1, 6, 61]);
    }

    #[test]
    fn steady_traffic_and_a_few_who_go_are_no_ebb() {
        assert_eq!(looks((0..500).map(|second| 1_000 + second * 7 % 400)), [0; 0]);
        assert_eq!(looks([63, 0, 63, 0]), [0; 0]);
    }

    #[test]
    fn a_slow_ebb_is_one_as_well() {
        assert_eq!(looks((0..=100).rev().map(|tenth| tenth * 10))[..5], [50, 55, 75, 80, 88]);
    }
}
