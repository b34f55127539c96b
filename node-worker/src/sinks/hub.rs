//! Clients that read the event stream through the socket.
//!
//! A slow client loses events; it never slows the node worker or other clients. What it lost is told to it in a gap
//! line, and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Clients at one time: a few people at terminals and a collector.
pub const CLIENTS_MAX: usize = 16;

/// Bytes that wait for one client at most: some 3,000 lines, what a busy node makes in a tenth of a second. All
/// clients share the same batches, so the queues together hold little more than one of them.
pub const CLIENT_QUEUE_BYTES: usize = 16 << 20;

/// Whole lines of one batch, shared by all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The lines, each ended by a newline.
    pub bytes: Arc<[u8]>,
    /// How many.
    pub count: u64,
}

/// What a client gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Lines in order.
    Lines(Lines),
    /// So many lines were dropped here, because the client was too slow.
    Lost(u64),
}

/// Hands batches to clients.
#[derive(Debug, Default)]
pub struct Hub {
    clients: Mutex<Vec<Arc<Queue>>>,
    count: AtomicUsize,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Lines>,
    waiting_bytes: usize,
    lost: u64,
    closed: bool,
}

/// A client's end of the stream. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
}

impl Hub {
    /// Adds a client; `None` when there are [`CLIENTS_MAX`] already.
    pub fn subscribe(self: &Arc<Self>) -> Option<Subscription> {
        let mut clients = lock(&self.clients);
        if clients.len() >= CLIENTS_MAX {
            return None;
        }
        let queue = Arc::new(Queue::default());
        clients.push(Arc::clone(&queue));
        self.count.store(clients.len(), Ordering::Relaxed);
        Some(Subscription { hub: Arc::clone(self), queue })
    }

    /// Clients now.
    pub fn clients(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Lines dropped because a client was too slow, over all clients.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Hands `count` lines to every client. Never waits.
    pub fn publish(&self, bytes: &[u8], count: u64) {
        if self.clients() == 0 || bytes.is_empty() {
            return;
        }
        let lines = Lines { bytes: bytes.into(), count };
        for client in lock(&self.clients).iter() {
            let mut state = lock(&client.state);
            // A gap is told before anything newer, so nothing is queued behind one.
            if state.lost > 0 || state.waiting_bytes + bytes.len() > CLIENT_QUEUE_BYTES {
                state.lost += count;
                self.lost.fetch_add(count, Ordering::Relaxed);
            } else {
                state.waiting_bytes += bytes.len();
                state.waiting.push_back(lines.clone());
            }
            drop(state);
            client.ready.notify_one();
        }
    }

    /// Ends every subscription once its queue is empty: the node worker stops.
    pub fn close(&self) {
        for client in lock(&self.clients).iter() {
            lock(&client.state).closed = true;
            client.ready.notify_one();
        }
    }
}

impl Subscription {
    /// What comes next; `None` = the stream has ended.
    pub async fn next(&self) -> Option<Delivery> {
        loop {
            {
                let mut state = lock(&self.queue.state);
                if let Some(lines) = state.waiting.pop_front() {
                    state.waiting_bytes -= lines.bytes.len();
                    return Some(Delivery::Lines(lines));
                }
                if state.lost > 0 {
                    return Some(Delivery::Lost(std::mem::take(&mut state.lost)));
                }
                if state.closed {
                    return None;
                }
            }
            self.queue.ready.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut clients = lock(&self.hub.clients);
        clients.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.hub.count.store(clients.len(), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_client_gets_every_line_in_order() {
        let hub = Arc::new(Hub::default());
        hub.publish(b"before\n", 1);
        let clients = [hub.subscribe().unwrap(), hub.subscribe().unwrap()];
        hub.publish(b"one\n", 1);
        hub.publish(b"two\nthree\n", 2);
        hub.close();
        for client in clients {
            let Some(Delivery::Lines(lines)) = client.next().await else { panic!("no lines") };
            assert_eq!(&*lines.bytes, b"one\n");
            let Some(Delivery::Lines(lines)) = client.next().await else { panic!("no lines") };
            assert_eq!((&*lines.bytes, lines.count), (&b"two\nthree\n"[..], 2));
            assert_eq!(client.next().await, None);
        }
        assert_eq!(hub.clients(), 0);
    }

    #[tokio::test]
    async fn a_slow_client_is_told_what_it_lost() {
        let hub = Arc::new(Hub::default());
        let client = hub.subscribe().unwrap();
        let half = vec![b'x'; CLIENT_QUEUE_BYTES / 2];
        for _ in 0..4 {
            hub.publish(&half, 10);
        }
        // After a loss nothing is queued until the client has heard of it, not even what would fit.
        assert!(matches!(client.next().await, Some(Delivery::Lines(_))));
        hub.publish(b"small\n", 1);
        assert!(matches!(client.next().await, Some(Delivery::Lines(_))));
        assert_eq!(client.next().await, Some(Delivery::Lost(21)));
        hub.publish(b"small\n", 1);
        assert!(matches!(client.next().await, Some(Delivery::Lines(_))));
        assert_eq!(hub.lost(), 21);
    }

    #[test]
    fn clients_are_bounded_and_leave() {
        let hub = Arc::new(Hub::default());
        let mut clients: Vec<_> = (0..CLIENTS_MAX).map(|_| hub.subscribe().unwrap()).collect();
        assert!(hub.subscribe().is_none());
        clients.pop();
        assert_eq!(hub.clients(), CLIENTS_MAX - 1);
        assert!(hub.subscribe().is_some());
    }
}
