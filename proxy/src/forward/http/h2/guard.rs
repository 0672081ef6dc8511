//! What a client may send without asking for anything.
//!
//! Owns [`Guard`], which is shown every byte that a client of HTTP/2 sends, finds the frames in
//! them (RFC 9113 §4.1) and counts those that cost us more than they cost the client. h2 has
//! limits for what it answers by itself; these are for what it takes as it comes. Refuses to know
//! what a frame says, and does nothing: the task of the connection does.

use std::time::Duration;

use tokio::time::Instant;

use super::credit::{BYTES_PER_FRAME, Credit};
use crate::config::HttpLimits;

/// Counts the frames of a connection.
#[derive(Debug)]
pub(super) struct Guard {
    frames: Frames,
    control: Rate,
    resets: Rate,
    /// Content of the client that has earned it nothing yet.
    content: usize,
}

/// What a client sends too much of, or at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flood {
    /// Frames that neither ask nor send anything.
    Control,
    /// Anything but settings to begin with.
    NoSettings,
    /// Resets of streams.
    Resets,
    /// A frame that is longer or shorter than its kind is.
    Size,
}

impl Guard {
    pub(super) fn new(limits: &HttpLimits, now: Instant) -> Self {
        Self {
            frames: Frames { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], have: 0, is_first: true },
            control: Rate { count: 0, max: limits.h2_control_frames_max, since: now },
            resets: Rate { count: 0, max: limits.h2_resets_max, since: now },
            content: 0,
        }
    }

    /// Looks at `bytes`, which follow those before. `credit` is what the client may send besides.
    pub(super) fn watch(&mut self, bytes: &[u8], credit: &Credit) -> Result<(), Flood> {
        let mut rest = bytes;
        while let Some(frame) = self.frames.next(&mut rest) {
            self.frames.check()?;
            match frame {
                Frame::Asks => self.control.forgive(FRAMES_PER_REQUEST),
                Frame::Sends(bytes) => {
                    self.content += bytes;
                    self.control.forgive(self.content / BYTES_PER_FRAME);
                    self.content %= BYTES_PER_FRAME;
                }
                Frame::Resets => {
                    self.resets.count(None).map_err(|()| Flood::Resets)?;
                    self.control.count(Some(credit)).map_err(|()| Flood::Control)?;
                }
                Frame::Controls => {
                    self.control.count(Some(credit)).map_err(|()| Flood::Control)?;
                }
            }
        }
        Ok(())
    }
}

/// So many within [`PERIOD`], and no more.
#[derive(Debug)]
struct Rate {
    count: u32,
    max: u32,
    /// When `count` was last found to have taken its time. The clock is only looked at when it has
    /// reached the limit.
    since: Instant,
}

impl Rate {
    fn forgive(&mut self, frames: usize) {
        self.count = self.count.saturating_sub(u32::try_from(frames).unwrap_or(u32::MAX));
    }

    fn count(&mut self, credit: Option<&Credit>) -> Result<(), ()> {
        self.count += 1;
        if self.count <= self.max {
            return Ok(());
        }
        self.count = self.count.saturating_sub(credit.map_or(0, Credit::take));
        if self.count <= self.max {
            return Ok(());
        }
        let now = Instant::now();
        if now.duration_since(self.since) < PERIOD {
            return Err(());
        }
        self.count = 0;
        self.since = now;
        Ok(())
    }
}

/// What a frame means to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Frame {
    /// It asks for something.
    Asks,
    Controls,
    /// It has so many bytes of content.
    Sends(usize),
    Resets,
}

/// Finds the heads of frames, wherever the bytes are cut.
#[derive(Debug)]
struct Frames {
    /// Bytes up to the next head.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// How many bytes of the next head are there.
    have: usize,
    /// Whether no frame was looked at yet.
    is_first: bool,
}

impl Frames {
    /// The next frame whose head is complete in `bytes`, of which it takes what it has looked at.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = bytes.get(skipped..).unwrap_or_default();
        let wanted = self.head.get_mut(self.have..)?;
        let taken = wanted.len().min(bytes.len());
        let (come, rest) = bytes.split_at_checked(taken)?;
        wanted.get_mut(..taken)?.copy_from_slice(come);
        *bytes = rest;
        self.have += taken;
        if self.skip > 0 || self.have < HEAD_BYTES {
            return None;
        }
        self.have = 0;
        let [high, middle, low, kind, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = length;
        Some(match kind {
            DATA if length > 0 => Frame::Sends(length),
            HEADERS => Frame::Asks,
            RST_STREAM => Frame::Resets,
            _ => Frame::Controls,
        })
    }
}

impl Frames {
    /// Looks at the frame that was found last, whose payload is still to come: at what h2 does not
    /// see, or would not tell the client the right reason of.
    fn check(&mut self) -> Result<(), Flood> {
        let [_, _, _, kind, flags, ..] = self.head;
        // RFC 9113 §3.4.
        let is_settings = kind == SETTINGS && flags & ACK == 0;
        if std::mem::replace(&mut self.is_first, false) && !is_settings {
            return Err(Flood::NoSettings);
        }
        let is_sound = match kind {
            RST_STREAM | WINDOW_UPDATE => self.skip == 4,
            SETTINGS => self.skip.is_multiple_of(6) && (flags & ACK == 0 || self.skip == 0),
            PING => self.skip == 8,
            GOAWAY => self.skip >= 8,
            _ => true,
        };
        if is_sound { Ok(()) } else { Err(Flood::Size) }
    }
}

/// `PRI * HTTP/2.0` and its empty lines (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const ACK: u8 = 0x1;
/// Control frames that a request may come with: its own and those of the client's housekeeping.
const FRAMES_PER_REQUEST: usize = 16;
/// The time that the limits on frames are for.
const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD_BYTES + payload, 0);
        bytes
    }

    fn guard() -> Guard {
        let limits =
            HttpLimits { h2_control_frames_max: 10, h2_resets_max: 5, ..HttpLimits::default() };
        let mut guard = Guard::new(&limits, Instant::now());
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = frame(SETTINGS, 0, 0);
        let begin = [&preface[..], &settings, &frame(HEADERS, 0, 0)].concat();
        guard.watch(&begin, &Credit::default()).unwrap();
        guard
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_found_wherever_the_bytes_are_cut() {
        let frames = [frame(DATA, 0, 300), frame(HEADERS, 0, 5), frame(RST_STREAM, 0, 4)];
        let bytes = [frames.concat(), frame(DATA, 0, 0), frame(DATA, 0, 1)].concat();
        let [content, byte] = [300, 1].map(Frame::Sends);
        let expected = [content, Frame::Asks, Frame::Resets, Frame::Controls, byte];
        for cut in 0..=bytes.len() {
            let mut guard = guard();
            let mut found = Vec::new();
            let (one, other) = bytes.split_at(cut);
            for mut part in [one, other] {
                while let Some(frame) = guard.frames.next(&mut part) {
                    found.push(frame);
                }
            }
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_content_make_room_for_control_frames() {
        let (mut guard, credit) = (guard(), Credit::default());
        for _ in 0..100 {
            guard.watch(&frame(8, 0, 4).repeat(10), &credit).unwrap();
            guard.watch(&frame(HEADERS, 0, 20), &credit).unwrap();
        }
        for _ in 0..100 {
            credit.note_part(6 * BYTES_PER_FRAME);
            guard.watch(&frame(8, 0, 4).repeat(10), &credit).unwrap();
        }
        assert_eq!(guard.watch(&frame(6, 0, 8).repeat(21), &credit), Err(Flood::Control));
    }

    #[tokio::test(start_paused = true)]
    async fn content_of_the_client_makes_room_by_its_length_and_not_by_its_frames() {
        let credit = Credit::default();
        let mut uploading = guard();
        for _ in 0..1000 {
            uploading.watch(&frame(DATA, 0, 16_384), &credit).unwrap();
            uploading.watch(&frame(6, 0, 8).repeat(10), &credit).unwrap();
        }
        let mut dripping = guard();
        let drip = [frame(SETTINGS, 0, 6), frame(DATA, 0, 5)].concat().repeat(20);
        assert_eq!(dripping.watch(&drip, &credit), Err(Flood::Control));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_does_not_pay_for_any_number_of_control_frames() {
        let mut guard = guard();
        guard.control.max = 100;
        let round = [frame(6, 0, 8).repeat(90), frame(HEADERS, 0, 20)].concat();
        assert_eq!(guard.watch(&round.repeat(2), &Credit::default()), Err(Flood::Control));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_slowly_is_no_flood() {
        let (mut guard, credit) = (guard(), Credit::default());
        for _ in 0..100 {
            tokio::time::advance(PERIOD / 5).await;
            guard.watch(&frame(RST_STREAM, 0, 4), &credit).unwrap();
            guard.watch(&frame(6, 0, 8), &credit).unwrap();
        }
        assert_eq!(guard.watch(&frame(RST_STREAM, 0, 4).repeat(12), &credit), Err(Flood::Resets));
    }
}
