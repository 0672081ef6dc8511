//! Backends to which everything happens that can: endpoints fail, recover, are checked, drained,
//! ejected, and come and go, while requests are sent.
//!
//! Each seed is a backend of its own with rules of its own. An oracle that keeps its own account of
//! every endpoint says after each choice: nothing that is draining or unhealthy was chosen; nothing
//! that is ejected, and no backup, while something better was there; nobody was turned away while
//! anything could be used. It says of each failure whether it must end in an ejection: not too
//! many, not the last, for the right time. When everything is well again, everybody gets the share
//! of its weight, and a key moves only if its endpoint goes. Read next: `world`.
//!
//! A backend again: `SIMULATION_SEED=17 cargo test -p portunus --lib simulation`. More of them:
//! `SIMULATION_SEEDS=100000`.

mod well;
mod world;

use std::ops::Range;
use std::sync::Mutex;

use tokio::time::Instant;

use world::World;

/// What happened in all worlds: one in which nothing happens proves nothing.
#[derive(Debug, Default)]
struct Tally {
    chosen: u64,
    retried: u64,
    turned_away: u64,
    backups: u64,
    last_resorts: u64,
    ejected: u64,
    longer: u64,
    came_back: u64,
    unhealthy: u64,
    moved: u64,
    stayed: u64,
}

impl Tally {
    fn numbers(&mut self) -> [&mut u64; 11] {
        let Self {
            chosen,
            retried,
            turned_away,
            backups,
            last_resorts,
            ejected,
            longer,
            came_back,
            unhealthy,
            moved,
            stayed,
        } = self;
        [
            chosen,
            retried,
            turned_away,
            backups,
            last_resorts,
            ejected,
            longer,
            came_back,
            unhealthy,
            moved,
            stayed,
        ]
    }

    fn add(&mut self, mut other: Self) {
        for (mine, theirs) in self.numbers().into_iter().zip(other.numbers()) {
            *mine += *theirs;
        }
    }
}

/// Which rule a world breaks on purpose, to see that somebody notices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Habit {
    Good,
    ForgetsWhoComesBack,
    IgnoresChecks,
    IgnoresDraining,
}

type Outcome = Result<(), String>;

/// One backend from its beginning to its end.
fn live(seed: u64, habit: Habit, start: Instant) -> Result<Tally, String> {
    let mut world = World::new(seed, habit, start);
    for _ in 0..STEPS {
        world.step()?;
    }
    world.heal()?;
    Ok(world.tally)
}

/// Backends on all cores; what happened in all of them, or the first that broke a rule.
fn live_all(seeds: Range<u64>, habit: Habit) -> Result<Tally, (u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (all, start) = (Mutex::new(Ok(Tally::default())), Instant::now());
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (all, seeds) = (&all, seeds.clone());
            scope.spawn(move || {
                for seed in seeds.skip(first).step_by(threads) {
                    let lived = live(seed, habit, start);
                    match (&mut *all.lock().unwrap(), lived) {
                        (Ok(all), Ok(tally)) => all.add(tally),
                        (all @ Ok(_), Err(violation)) => *all = Err((seed, violation)),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    all.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_befalls_endpoints_the_best_that_is_left_is_chosen() {
    if let Some(seed) = number("SIMULATION_SEED") {
        println!("{:?}", live(seed, Habit::Good, Instant::now()).unwrap());
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(6_000);
    let mut tally = match live_all(0..seeds, Habit::Good) {
        Ok(tally) => tally,
        Err((seed, violation)) => panic!("SIMULATION_SEED={seed}: {violation}"),
    };
    println!("{tally:?}");
    assert!(tally.numbers().into_iter().all(|number| *number > seeds / 4), "{tally:?}");
}

/// What the oracle is worth: it finds backends that break the rules.
#[test]
fn whoever_forgets_what_it_was_told_is_found_out() {
    for habit in [Habit::ForgetsWhoComesBack, Habit::IgnoresChecks, Habit::IgnoresDraining] {
        live_all(0..200, habit).expect_err("nobody noticed");
    }
}

const STEPS: usize = 300;
