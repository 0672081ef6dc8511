//! Thread CPU time, and the median of several samples of it.
//!
//! Owns how the micro benchmarks measure and print; refuses to know what they do. Wall time says
//! little on a machine that others use as well. The kernel's account of a thread is read from
//! `/proc`, so this is for Linux.

use std::io::{self, Write};

/// Takes several samples and prints the median cost of one operation.
///
/// A sample does `operations` of them and returns the nanoseconds that they took, see [`cpu`]. A
/// benchmark whose name does not hold the word from the command line is passed over.
pub(crate) fn run(name: &str, operations: usize, mut sample: impl FnMut() -> u64) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|word| !name.contains(&word)) {
        return;
    }
    // The first one warms caches and branch predictors, and is not told.
    let _ = sample();
    let mut costs: Vec<f64> = (0..SAMPLES).map(|_| sample() as f64 / operations as f64).collect();
    costs.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| costs.get(index).copied().unwrap_or_default();
    let (least, median, most) = (at(0), at(SAMPLES / 2), at(SAMPLES - 1));
    let line = format!("{name:40} {median:>12.1} ns  ({least:.1} to {most:.1}, {SAMPLES} samples)");
    writeln!(io::stdout(), "{line}").expect("standard output takes a line");
}

/// Does the work and returns the CPU time that this thread spent on it, in nanoseconds.
#[allow(dead_code, reason = "each benchmark is a program of its own, and few need both accounts")]
pub(crate) fn cpu(work: impl FnOnce()) -> u64 {
    let before = thread_ns();
    work();
    thread_ns() - before
}

/// Does the work and returns the CPU time that this process spent on it, in nanoseconds: on all
/// threads that live at its end.
#[allow(dead_code, reason = "as above")]
pub(crate) fn process_cpu(work: impl FnOnce()) -> u64 {
    let before = process_ns();
    work();
    process_ns() - before
}

#[allow(dead_code, reason = "as above")]
fn process_ns() -> u64 {
    std::thread::yield_now();
    let threads = std::fs::read_dir("/proc/self/task").expect("the kernel lists the threads");
    // A thread that has ended meanwhile has spent what it had to before.
    threads
        .filter_map(|thread| {
            let account = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            account.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

#[allow(dead_code, reason = "as above")]
fn thread_ns() -> u64 {
    // The account is brought up to date when the scheduler runs, so it is made to.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/thread-self/schedstat")
        .expect("the kernel keeps an account of each thread");
    account
        .split(' ')
        .next()
        .and_then(|spent| spent.parse().ok())
        .expect("the account begins with the time that was spent")
}

/// Odd, so that the median is one of them.
const SAMPLES: usize = 21;
