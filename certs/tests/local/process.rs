//! Other processes with the folder open, each doing as it is told, line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use portunus_certs::session::engine::{Engine, EntryKey, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LocalEngine, LocalOptions};

/// Longer than anything takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The key of a number, spread as digests are.
pub(crate) fn key(number: u64) -> EntryKey {
    let mut key = [1; 32];
    key[..8].copy_from_slice(&Numbers(number).below(u64::MAX).to_be_bytes());
    key[24..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn record(number: u64, bytes: usize) -> Record {
    let mut sealed = number.to_be_bytes().to_vec();
    sealed.resize(bytes.max(8), b'.');
    Record { key: key(number), sealed, lifetime: HOUR }
}

pub(crate) fn wanted(number: u64, usage: Use) -> Wanted {
    Wanted { key: key(number), usage }
}

pub(crate) async fn put(engine: &LocalEngine, number: u64, bytes: usize) {
    let answers = engine.store(&[record(number, bytes)]).await.unwrap();
    assert!(matches!(answers.as_slice(), [Ok(())]), "{answers:?}");
}

/// Whether it was there, with the text that belongs to it.
pub(crate) async fn fetch(engine: &LocalEngine, number: u64, usage: Use) -> bool {
    let found = engine.fetch(&[wanted(number, usage)]).await.unwrap().remove(0);
    found.is_some_and(|text| {
        assert_eq!(text[..8], number.to_be_bytes());
        true
    })
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Numbers that look like chance and are the same each time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Another process.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// One that opens the folder with this size; what it says of that is its first line.
    pub(crate) fn new(folder: &Path, bytes_max: usize) -> Self {
        Self::within(&[], folder, bytes_max)
    }

    /// One that is started by the words in front.
    pub(crate) fn within(words: &[&str], folder: &Path, bytes_max: usize) -> Self {
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let mut all = words.to_vec();
        all.extend([own, "--exact", "process::helper", "--ignored", "--nocapture", "--quiet"]);
        let mut child = Command::new(all[0])
            .args(&all[1..])
            .env(FOLDER, folder)
            .env(BYTES, bytes_max.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // The test harness has its own lines; ours have a mark.
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, line)) = line.split_once("> ")
                    && sender.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { input: child.stdin.take(), child, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        // It may have been killed.
        let _ = writeln!(self.input.as_mut().unwrap(), "{line}");
    }

    pub(crate) fn hear(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the other process says something")
    }

    /// Everything that it has said and nobody has heard.
    pub(crate) fn overhear(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it and says what it said until then.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.iter().collect()
    }

    /// Lets it end by itself.
    pub(crate) fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what runs in the other process.
#[test]
#[ignore = "runs in processes that tests start"]
fn helper() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let bytes_max = std::env::var(BYTES).unwrap().parse().unwrap();
    let options = LocalOptions { bytes_max, ..LocalOptions::new(folder) };
    let engine = match LocalEngine::open(&options) {
        Ok(engine) => engine,
        Err(error) => return println!("> {error:?}"),
    };
    println!("> {:?} {}", engine.start(), engine.bytes_max());
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        runtime().block_on(async {
            match words[0] {
                "put" => match engine.store(&[record(number(1), number(2) as usize)]).await {
                    Ok(answers) => match &answers[0] {
                        Ok(()) => println!("> stored"),
                        Err(error) => println!("> {:?}", error.kind()),
                    },
                    Err(error) => println!("> {:?}", error.kind()),
                },
                "take" => println!("> {}", fetch(&engine, number(1), Use::Single).await),
                "look" => println!("> {}", fetch(&engine, number(1), Use::Repeated).await),
                "fill" => println!("> {}", fill(&engine, number(1), number(2), number(3)).await),
                "race" => {
                    for number in 0..number(1) {
                        if fetch(&engine, number, Use::Single).await {
                            println!("> {number}");
                        }
                    }
                    println!("> end");
                }
                "churn" => churn(&engine, number(1)).await,
                "write" => loop {
                    let records: Vec<_> = (0..100).map(|n| record(n, 1000)).collect();
                    engine.store(&records).await.unwrap();
                },
                other => panic!("{other}"),
            }
        });
    }
}

/// Stores so many of so many bytes, and says how many were taken.
pub(crate) async fn fill(engine: &LocalEngine, first: u64, count: u64, bytes: u64) -> usize {
    let mut stored = 0;
    for start in (first..first + count).step_by(50) {
        let end = (start + 50).min(first + count);
        let records: Vec<_> = (start..end).map(|n| record(n, bytes as usize)).collect();
        if let Ok(answers) = engine.store(&records).await {
            stored += answers.iter().filter(|answer| answer.is_ok()).count();
        }
    }
    stored
}

/// Stores sessions, each with a number that nobody else uses, and takes those that others may have
/// stored, for ever; says which it won.
async fn churn(engine: &LocalEngine, own: u64) {
    let mut numbers = Numbers(own);
    for n in 0.. {
        put(engine, own * CHURN + n, 300).await;
        for _ in 0..3 {
            let other = numbers.below(own + 1) * CHURN + numbers.below(n.min(100) + 1);
            if fetch(engine, other, Use::Single).await {
                println!("> {other}");
            }
        }
        assert!(fetch(engine, u64::MAX, Use::Repeated).await, "what stays has gone");
    }
}

/// How many numbers each process has for itself.
pub(crate) const CHURN: u64 = 1_000_000;
const FOLDER: &str = "PORTUNUS_TEST_FOLDER";
const BYTES: &str = "PORTUNUS_TEST_BYTES";
