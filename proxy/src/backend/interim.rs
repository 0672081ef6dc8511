//! Interim responses (RFC 9110 §15.2) on their way from an endpoint to a client.
//!
//! Owns [`Interims`], a short queue: whoever reads an endpoint puts in what comes before the final
//! response, whoever writes to the client takes it out in time. Nobody waits here, and what comes
//! too late or too often is dropped, since an interim response is only a hint. Refuses to know what
//! fields may pass and what bytes become of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};

/// What an exchange was answered so far, for a client that understands it.
#[derive(Debug, Default)]
pub struct Interims {
    queue: Mutex<Vec<Response<()>>>,
    /// Whether there is anything in the queue: most exchanges never see any.
    is_waiting: AtomicBool,
    count: AtomicUsize,
}

impl Interims {
    /// Has what hyper reads for `request` before its final response put in here.
    pub fn listen<B>(self: &Arc<Self>, request: &mut Request<B>) {
        let interims = Arc::clone(self);
        hyper::ext::on_informational(request, move |interim| {
            let mut response = Response::new(());
            *response.status_mut() = interim.status();
            *response.headers_mut() = interim.headers().clone();
            interims.push(response);
        });
    }

    /// Puts an interim response in. Those that concern only the connection that they came over go
    /// no further: we have not passed on that anybody waits for 100, and 101 is final.
    pub fn push(&self, response: Response<()>) {
        let is_ours =
            matches!(response.status(), StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS);
        if self.count.fetch_add(1, Ordering::Relaxed) >= INTERIMS_MAX || is_ours {
            return;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(response);
        self.is_waiting.store(true, Ordering::Release);
    }

    /// Whether there is something to take out.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Takes everything out, in the order in which it came.
    pub fn take(&self) -> Vec<Response<()>> {
        if !self.is_waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the endpoint has sent more of them than anybody needs.
    pub fn are_too_many(&self) -> bool {
        self.count.load(Ordering::Relaxed) > INTERIMS_MAX
    }

    /// Makes ready for another exchange: what is left of the last one is dropped.
    pub fn restart(&self) {
        self.count.store(0, Ordering::Relaxed);
        drop(self.take());
    }
}

/// Interim responses to one request.
pub const INTERIMS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn interim(status: u16) -> Response<()> {
        Response::builder().status(status).body(()).unwrap()
    }

    #[test]
    fn hints_come_out_in_order_and_only_once() {
        let interims = Interims::default();
        interims.push(interim(102));
        interims.push(interim(103));
        assert!(interims.is_waiting());
        let statuses: Vec<u16> = interims.take().iter().map(|i| i.status().as_u16()).collect();
        assert_eq!(statuses, [102, 103]);
        assert!(!interims.is_waiting() && interims.take().is_empty());
    }

    #[test]
    fn what_concerns_one_connection_only_goes_no_further() {
        let interims = Interims::default();
        interims.push(interim(100));
        interims.push(interim(101));
        assert!(!interims.is_waiting() && interims.take().is_empty());
    }

    #[test]
    fn a_storm_is_cut_and_known_as_one() {
        let interims = Interims::default();
        for _ in 0..INTERIMS_MAX {
            interims.push(interim(103));
        }
        assert!(!interims.are_too_many());
        interims.push(interim(103));
        assert!(interims.are_too_many());
        assert_eq!(interims.take().len(), INTERIMS_MAX);
        interims.restart();
        assert!(!interims.are_too_many());
    }
}
