//! The databases and the work on them, without a thread and without other processes.

use super::environment;
use super::table::Table;
use super::work::{Step, Worker};
use super::{LocalOptions, Start};
use crate::session::engine::{EntryKey, ErrorKind};

fn key(n: u32) -> EntryKey {
    let mut key = [7; 32];
    // Spread over the tree by chance, as digests are.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
    key[..16].copy_from_slice(&digest.as_ref()[..16]);
    key[28..].copy_from_slice(&n.to_be_bytes());
    key
}

fn in_folder(bytes_max: usize, check: impl FnOnce(&heed::Env)) {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalOptions { bytes_max, ..LocalOptions::new(folder.path()) };
    let (_folder, env, start) = environment::open(&options).unwrap();
    assert_eq!(start, Start::Created);
    check(&env);
}

fn counts(env: &heed::Env) -> (u64, u64) {
    Table::open(env).unwrap().counts(&env.read_txn().unwrap()).unwrap()
}

#[test]
fn an_entry_replaced_or_taken_leaves_no_row_behind() {
    in_folder(1 << 20, |env| {
        let worker = Worker::new(env).unwrap();
        for (text, expiry) in [("one", 50), ("two", 40)] {
            worker.alone(&Step::Put(key(1), text.into(), expiry), 10).unwrap();
        }
        assert_eq!(counts(env), (1, 1));
        assert_eq!(worker.alone(&Step::Look(key(1)), 10).unwrap(), Some(b"two".to_vec()));
        assert_eq!(worker.alone(&Step::Take(key(1)), 10).unwrap(), Some(b"two".to_vec()));
        assert_eq!(worker.alone(&Step::Take(key(1)), 10).unwrap(), None);
        assert_eq!(counts(env), (0, 0));
        worker.alone(&Step::Probe, 10).unwrap();
        assert_eq!(counts(env), (0, 0));
    });
}

#[test]
fn what_has_expired_is_not_returned_and_goes_by_and_by() {
    in_folder(1 << 20, |env| {
        let worker = Worker::new(env).unwrap();
        let stores: Vec<_> = (0..20).map(|n| Step::Put(key(n), vec![1], 100 + n as u64)).collect();
        worker.together(&stores.iter().collect::<Vec<_>>(), |_| true, 10).unwrap();
        assert_eq!(worker.alone(&Step::Look(key(0)), 99).unwrap(), Some(vec![1]));
        assert_eq!(worker.alone(&Step::Look(key(0)), 100).unwrap(), None);
        assert_eq!(worker.alone(&Step::Take(key(1)), 101).unwrap(), None);
        let agreed = Step::Agree(key(2), vec![2], 900);
        assert_eq!(worker.alone(&agreed, 110).unwrap(), Some(vec![2]), "the old one had expired");
        assert_eq!(worker.alone(&agreed, 120).unwrap(), Some(vec![2]));
        for _ in 0..3 {
            worker.alone(&Step::Take(key(999)), 200).unwrap();
        }
        assert_eq!(counts(env), (1, 1));
    });
}

#[test]
fn a_step_that_nobody_awaits_is_not_done() {
    in_folder(1 << 20, |env| {
        let worker = Worker::new(env).unwrap();
        worker.alone(&Step::Put(key(1), vec![1], 100), 10).unwrap();
        let (take, look) = (Step::Take(key(1)), Step::Look(key(1)));
        let texts = worker.together(&[&take, &look], |step| step == 1, 10).unwrap();
        assert_eq!(texts, [None, Some(vec![1])]);
    });
}

#[test]
fn a_full_map_lets_those_go_that_expire_soonest_and_keeps_working() {
    in_folder(1 << 20, |env| {
        let worker = Worker::new(env).unwrap();
        // Several times what fits, with the order of expiry unlike the order of coming.
        let count = 12_288u32;
        for n in 0..count {
            let expiry = u64::from((n / 2) + (n % 2) * count);
            worker.alone(&Step::Put(key(n), vec![1; 200], 1000 + expiry), 10).unwrap();
        }
        let (entries, rows) = counts(env);
        assert_eq!(entries, rows);
        // 192 pages of 4 KiB, a third full, hold as many entries of some 260 bytes.
        assert!(entries > 1000, "{entries} entries");
        let found = |worker: &Worker<'_>, parity: u32| {
            let numbers = (0..count).filter(|n| n % 2 == parity);
            numbers.filter(|n| worker.alone(&Step::Look(key(*n)), 10).unwrap().is_some()).count()
        };
        let (soon, late) = (found(&worker, 0), found(&worker, 1));
        assert!(soon < 100 && late as u64 + 100 > entries, "{soon} soon, {late} late");
        assert!(worker.alone(&Step::Take(key(count - 1)), 10).unwrap().is_some());
    });
}

#[test]
fn a_text_that_would_drive_out_the_others_is_refused() {
    in_folder(1 << 20, |env| {
        let worker = Worker::new(env).unwrap();
        worker.alone(&Step::Put(key(1), vec![1], 100), 10).unwrap();
        let huge = worker.alone(&Step::Put(key(2), vec![0; 1 << 20], 1 << 40), 10);
        assert_eq!(huge.unwrap_err().kind, ErrorKind::Full);
        assert!(worker.alone(&Step::Look(key(1)), 10).unwrap().is_some());
    });
}
