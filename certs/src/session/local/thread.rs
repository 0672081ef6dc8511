//! The one thread that calls LMDB, and the queue in front of it.
//!
//! Owns the life of the thread: it opens the folder, does what waits, opens the environment again
//! when that is the cure, and ends when the last sender is gone. Callers wait for as long as they
//! like and leave when they like; what a caller that left wanted to take is not taken, as long as
//! it was not done before. What it wanted to store is stored, since it lies nowhere else any more.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::environment;
use super::folder::Folder;
use super::work::{Failure, Outcome, Step, Worker};
use super::{LocalError, LocalOptions, Start};
use crate::session::engine::ErrorKind;

/// What one call wants.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) steps: Vec<Step>,
    pub(super) reply: oneshot::Sender<Vec<Outcome>>,
}

impl Job {
    /// Whether it is to be done. Nobody else will store what this one stores.
    fn is_awaited(&self) -> bool {
        let is_asking = |step: &Step| matches!(step, Step::Look(_) | Step::Take(_));
        !self.reply.is_closed() || !self.steps.iter().all(is_asking)
    }
}

/// What the thread says when it has opened the folder.
pub(super) type Opened = Result<(Start, usize), LocalError>;

/// The life of the thread.
pub(super) fn run(
    options: &LocalOptions,
    opened: &SyncSender<Opened>,
    mut jobs: mpsc::Receiver<Job>,
) {
    let mut queue = Vec::new();
    let (folder, mut env, start) = match environment::open(options) {
        Ok(parts) => parts,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let mut greeting = Some(Ok((start, env.info().map_size)));
    loop {
        match Worker::new(&env) {
            Ok(worker) => {
                // Whoever opened may have gone; then the senders are gone as well.
                greeting.take().map(|greeting| opened.send(greeting));
                if serve(worker, options, &mut jobs, &mut queue) == Then::End {
                    return;
                }
            }
            Err(failure) => {
                // The databases can neither be opened nor made, for instance in a file system
                // that is full. A first opening says so; later ones are tried with each batch.
                if greeting.take().is_some() {
                    let path = folder.path().to_owned();
                    return drop(
                        opened.send(Err(LocalError::Databases { path, failure: failure.into() })),
                    );
                }
                if !refuse(&failure, &mut jobs, &mut queue) {
                    return;
                }
            }
        }
        drop(env);
        match open_again(&folder, options, &mut jobs, &mut queue) {
            Some(again) => env = again,
            None => return,
        }
    }
}

/// Opens again, and answers with the reason for as long as it does not work.
fn open_again(
    folder: &Folder,
    options: &LocalOptions,
    jobs: &mut mpsc::Receiver<Job>,
    queue: &mut Vec<Job>,
) -> Option<heed::Env> {
    loop {
        match environment::open_again(folder, options) {
            Ok(env) => return Some(env),
            Err(error) => {
                let failure = Failure::new(ErrorKind::Unreachable, error.to_string());
                if !refuse(&failure, jobs, queue) {
                    return None;
                }
            }
        }
    }
}

/// Answers all that waits with the failure, and then waits until something else does. `false` if
/// nobody will.
fn refuse(failure: &Failure, jobs: &mut mpsc::Receiver<Job>, queue: &mut Vec<Job>) -> bool {
    for job in queue.drain(..) {
        let outcomes = job.steps.iter().map(|_| Err(failure.clone())).collect();
        // Whoever left does not mind.
        let _ = job.reply.send(outcomes);
    }
    queue.extend(jobs.blocking_recv());
    !queue.is_empty()
}

/// Why a [`Worker`] is of no use any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    End,
    OpenAgain,
}

/// Does what waits, in batches. What is left in the queue was not done.
fn serve(
    mut worker: Worker<'_>,
    options: &LocalOptions,
    jobs: &mut mpsc::Receiver<Job>,
    queue: &mut Vec<Job>,
) -> Then {
    let mut maintained = Instant::now();
    let opened = maintained;
    // What is in the queue made us open again: once is enough.
    let mut is_second = !queue.is_empty();
    loop {
        if queue.is_empty() && jobs.blocking_recv_many(queue, BATCH_MAX) == 0 {
            return Then::End;
        }
        if maintained.elapsed() >= MAINTENANCE {
            maintained = Instant::now();
            // What fails here fails in the batch, where somebody hears of it.
            let _ = worker.maintain();
        }
        queue.retain(Job::is_awaited);
        let count = batch_length(queue, worker.steps_max());
        let batch = queue.get(..count).unwrap_or_default();
        let outcomes = perform(&worker, batch, &*options.clock);
        let is_stale = |outcome: &Outcome| outcome.as_ref().is_err_and(|failure| failure.is_stale);
        // Only if nothing at all was done can everything be done again.
        let is_undone = |outcome: &Outcome| {
            is_stale(outcome) && !matches!(outcome, Err(e) if e.kind == ErrorKind::Broken)
        };
        if !is_second && !outcomes.is_empty() && outcomes.iter().all(is_undone) {
            return Then::OpenAgain;
        }
        is_second = false;
        // A row that a dead process left in the table of readers under our own number holds pages
        // for ever; closing frees it.
        let is_full = |outcome: &Outcome| matches!(outcome, Err(e) if e.kind == ErrorKind::Full);
        let is_stuck = opened.elapsed() >= MAINTENANCE && outcomes.iter().any(is_full);
        let is_stale = outcomes.iter().any(is_stale);
        let mut outcomes = outcomes.into_iter();
        for job in queue.drain(..count) {
            let own = outcomes.by_ref().take(job.steps.len()).collect();
            let _ = job.reply.send(own);
        }
        if is_stale || is_stuck {
            return Then::OpenAgain;
        }
    }
}

/// How many jobs fit into a transaction; at least one, if there is one.
fn batch_length(queue: &[Job], steps_max: usize) -> usize {
    let mut steps = 0;
    let fits = |job: &&Job| {
        steps += job.steps.len();
        steps <= steps_max
    };
    queue.iter().take_while(fits).count().max(1).min(queue.len())
}

/// Does every step of every job, in their order: as many as may be in one transaction or, if there
/// is no room for that, one by one.
fn perform(worker: &Worker<'_>, queue: &[Job], clock: &dyn TimeProvider) -> Vec<Outcome> {
    // A clock before 1970 makes everything young, and the age is checked by whoever opens a text.
    let now = clock.current_time().map_or(0, |now| now.as_secs());
    let (owners, steps): (Vec<&Job>, Vec<&Step>) =
        queue.iter().flat_map(|job| job.steps.iter().map(move |step| (job, step))).unzip();
    let mut outcomes = Vec::with_capacity(steps.len());
    let count_max = worker.steps_max();
    for (owners, steps) in owners.chunks(count_max).zip(steps.chunks(count_max)) {
        let is_awaited = |step: usize| owners.get(step).is_some_and(|job| job.is_awaited());
        match worker.together(steps, is_awaited, now) {
            Ok(texts) => outcomes.extend(texts.into_iter().map(Ok)),
            Err(failure) if failure.is_for_room => {
                outcomes.extend(one_by_one(worker, owners, steps, now));
            }
            Err(failure) => outcomes.extend(steps.iter().map(|_| Err(failure.clone()))),
        }
    }
    outcomes
}

/// Does the steps after the room ran out.
fn one_by_one(worker: &Worker<'_>, owners: &[&Job], steps: &[&Step], now: u64) -> Vec<Outcome> {
    let each = |(job, step): (&&Job, &&Step)| {
        if job.is_awaited() { worker.alone(step, now) } else { Ok(None) }
    };
    owners.iter().zip(steps).map(each).collect()
}

/// How many calls are done in one transaction.
const BATCH_MAX: usize = 256;
/// How often stale readers are looked for, at most.
const MAINTENANCE: Duration = Duration::from_secs(30);
