//! How far epochs are: durable, complete, visible. An epoch is visible when it is both of the others.

use std::collections::VecDeque;
use std::sync::Arc;

use changelog::Epoch;
use parking_lot::{Condvar, Mutex};
use state::EpochPins;
use tokio::sync::oneshot;

use crate::DatabaseError;

/// How far the epochs of a database are.
#[derive(Debug)]
pub struct Progress {
    pins: Arc<EpochPins>,
    state: Mutex<ProgressState>,
    changed: Condvar,
}

#[derive(Debug)]
struct ProgressState {
    durable: Epoch,
    complete: Epoch,
    failed: Option<DatabaseError>,
    /// In ascending order, but for neighbours.
    waiters: VecDeque<(Epoch, oneshot::Sender<Result<(), DatabaseError>>)>,
}

impl Progress {
    /// All epochs up to `start` are visible.
    #[must_use]
    pub fn new(pins: Arc<EpochPins>, start: Epoch) -> Arc<Progress> {
        let state = ProgressState { durable: start, complete: start, failed: None, waiters: VecDeque::new() };
        Arc::new(Progress { pins, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// The journal has all epochs up to this one.
    pub fn durable(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(epoch);
        self.advance(&mut state);
    }

    /// The dataflow has taken in all epochs up to this one.
    pub fn complete(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        state.complete = state.complete.max(epoch);
        self.advance(&mut state);
    }

    /// The last epoch that the dataflow has taken in.
    #[must_use]
    pub fn completed(&self) -> Epoch {
        self.state.lock().complete
    }

    /// Nothing goes on from here: whoever waits, or ever will, gets this error.
    pub fn fail(&self, error: DatabaseError) {
        let mut state = self.state.lock();
        for (_, waiter) in state.waiters.drain(..) {
            // Whoever gave up waiting needs no answer.
            let _ = waiter.send(Err(error.clone()));
        }
        state.failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Why nothing goes on, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<DatabaseError> {
        self.state.lock().failed.clone()
    }

    /// Waits until an epoch is visible.
    ///
    /// # Errors
    /// If the database has failed.
    pub async fn wait(&self, epoch: Epoch) -> Result<(), DatabaseError> {
        let receiver = {
            let mut state = self.state.lock();
            if self.pins.visible() >= epoch {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            let (sender, receiver) = oneshot::channel();
            state.waiters.push_back((epoch, sender));
            receiver
        };
        receiver.await.unwrap_or_else(|_| Err(DatabaseError::stopped()))
    }

    /// As `wait`, on a thread that may block.
    ///
    /// # Errors
    /// If the database has failed.
    pub fn wait_blocking(&self, epoch: Epoch) -> Result<(), DatabaseError> {
        let mut state = self.state.lock();
        loop {
            if self.pins.visible() >= epoch {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            self.changed.wait(&mut state);
        }
    }

    fn advance(&self, state: &mut ProgressState) {
        let visible = state.durable.min(state.complete);
        if visible <= self.pins.visible() || state.failed.is_some() {
            return;
        }
        self.pins.publish(visible);
        self.changed.notify_all();
        let mut left = VecDeque::new();
        for (epoch, waiter) in state.waiters.drain(..) {
            if epoch <= visible {
                let _ = waiter.send(Ok(()));
            } else {
                left.push_back((epoch, waiter));
            }
        }
        state.waiters = left;
    }
}
