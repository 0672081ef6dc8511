//! What operators ask of the running process, on its way from those who hear it to those who do it.
//!
//! Owns [`Order`], the queue of them and [`Verdict`], the answer. An order is answered when it is
//! done, so whoever asked knows what came of it. Refuses to know how any of them is carried out:
//! that is `runtime`.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// What the process is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Read the configuration again, and serve what it says.
    Reload,
    /// Say what a reload would change.
    Rehearse,
    /// Finish what is going on, and end.
    Drain,
    /// The same, as the other process of an upgrade does, which was asked to.
    Follow,
    /// Hand everything over to a new process, then drain.
    Upgrade,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It was carried out; this is what can be told of it.
    Done(Value),
    /// Nothing was changed, for the reasons told.
    Refused(Value),
}

/// An order that waits to be carried out.
#[derive(Debug)]
pub struct Pending {
    /// What is asked.
    pub order: Order,
    answer: oneshot::Sender<Verdict>,
}

impl Pending {
    /// Tells whoever asked what came of it. Who no longer waits is not told.
    pub fn answer(self, verdict: Verdict) {
        let _ = self.answer.send(verdict);
    }
}

/// Where orders are given.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Pending>);

impl Orders {
    /// A place to give orders, and the queue that they come out of.
    pub fn new() -> (Self, OrderQueue) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (Self(sender), OrderQueue(receiver))
    }

    /// Gives an order and waits for what comes of it; `None` if there is no room for it, or if the
    /// process ends before.
    pub async fn give(&self, order: Order) -> Option<Verdict> {
        let (answer, verdict) = oneshot::channel();
        self.0.try_send(Pending { order, answer }).ok()?;
        verdict.await.ok()
    }
}

/// Orders that were given, in their order.
#[derive(Debug)]
pub struct OrderQueue(mpsc::Receiver<Pending>);

impl OrderQueue {
    /// Waits for the next order; without anybody who could give one, for ever.
    pub async fn next(&mut self) -> Pending {
        match self.0.recv().await {
            Some(pending) => pending,
            None => std::future::pending().await,
        }
    }
}

/// Orders that may wait; operators are few.
const ORDERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_is_answered_when_it_was_carried_out() {
        let (orders, mut queue) = Orders::new();
        let asked = orders.give(Order::Reload);
        let carried_out = async {
            let pending = queue.next().await;
            assert_eq!(pending.order, Order::Reload);
            pending.answer(Verdict::Refused("no".into()));
        };
        let (verdict, ()) = tokio::join!(asked, carried_out);
        assert!(matches!(verdict, Some(Verdict::Refused(why)) if why == "no"));
        drop(queue);
        assert!(orders.give(Order::Drain).await.is_none());
    }
}
