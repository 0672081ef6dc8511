//! What a process and its launcher say to each other, each word about one launch.
//!
//! Owns the form of orders and reports. All of them name their launch, since a launcher that was
//! held up answers when nobody waits for it any more. Refuses to know what is done about them.

use rustix::process::Pid;

/// Which launch is meant: they are counted from 1.
pub(super) type Number = u64;

/// What the process says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Start one with the standard input that comes along.
    Launch(Number),
    /// End the one that was started.
    Kill(Number),
}

impl Order {
    pub(super) fn encode(self) -> Vec<u8> {
        let (kind, launch) = match self {
            Self::Launch(launch) => (LAUNCH, launch),
            Self::Kill(launch) => (KILL, launch),
        };
        [&[kind][..], &launch.to_be_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match split(bytes)? {
            (LAUNCH, launch, []) => Some(Self::Launch(launch)),
            (KILL, launch, []) => Some(Self::Kill(launch)),
            _ => None,
        }
    }
}

/// What the launcher says about a launch.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) launch: Number,
    pub(super) what: What,
}

/// What became of a launch.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum What {
    Started(Pid),
    Failed(String),
    Ended(String),
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let pid;
        let (kind, rest) = match &self.what {
            What::Started(started) => {
                pid = started.as_raw_nonzero().get().to_be_bytes();
                (STARTED, &pid[..])
            }
            What::Failed(reason) => (FAILED, reason.as_bytes()),
            What::Ended(how) => (ENDED, how.as_bytes()),
        };
        [&[kind][..], &self.launch.to_be_bytes(), rest].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, launch, rest) = split(bytes)?;
        let text = || str::from_utf8(rest).ok().map(str::to_owned);
        let what = match kind {
            STARTED => What::Started(Pid::from_raw(i32::from_be_bytes(rest.try_into().ok()?))?),
            FAILED => What::Failed(text()?),
            ENDED => What::Ended(text()?),
            _ => return None,
        };
        Some(Self { launch, what })
    }
}

/// The kind of a word, the launch it is about, and the rest.
fn split(bytes: &[u8]) -> Option<(u8, Number, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (launch, rest) = rest.split_first_chunk()?;
    Some((*kind, Number::from_be_bytes(*launch), rest))
}

const LAUNCH: u8 = b'L';
const KILL: u8 = b'K';
const STARTED: u8 = 1;
const FAILED: u8 = 2;
const ENDED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_said_and_nothing_else_is_one() {
        let whats = [
            What::Started(Pid::from_raw(4711).unwrap()),
            What::Failed("no".to_owned()),
            What::Ended("signal: 9".to_owned()),
        ];
        for (launch, what) in (1..).zip(whats) {
            let report = Report { launch, what };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        for order in [Order::Launch(7), Order::Kill(Number::MAX)] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        let of_launch = |kind: u8, rest: &[u8]| [&[kind][..], &[0; 8], rest].concat();
        let none = [
            of_launch(9, &[1]),
            of_launch(STARTED, &[1]),
            of_launch(STARTED, &[0; 4]),
            of_launch(FAILED, &[255]),
            of_launch(LAUNCH, &[0]),
            [&[ENDED][..], &[0; 7]].concat(),
            vec![LAUNCH],
            vec![0],
            vec![],
        ];
        for bytes in none {
            assert_eq!(Report::decode(&bytes), None, "{bytes:?}");
            assert_eq!(Order::decode(&bytes), None, "{bytes:?}");
        }
    }
}
