//! Keeps a rate: how many records may be given by now.

use std::sync::Arc;
use std::time::Duration;

use crate::Clock;

/// A reader that was not asked for a while may catch up on at most so much time.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// Records are let through in groups of about this duration.
const STEP: Duration = Duration::from_millis(5);

/// Lets records through at a steady rate, or all of them when there is no rate.
pub struct Pace {
    rate: Option<f64>,
    clock: Arc<dyn Clock>,
    /// When the first record that has not been given was due; None before the first call.
    due: Option<Duration>,
}

impl Pace {
    /// `rate` in records a second.
    pub fn new(rate: Option<f64>, clock: Arc<dyn Clock>) -> Self {
        Self { rate, clock, due: None }
    }

    /// Whether records wait for their time.
    pub fn has_rate(&self) -> bool {
        self.rate.is_some()
    }

    /// How many records may be given now.
    pub fn allowed(&mut self) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let now = self.clock.now();
        let due = self.due.get_or_insert(now);
        *due = (*due).max(now.saturating_sub(CATCH_UP_MAX));
        // The record that is due exactly now may go.
        match now.checked_sub(*due) {
            Some(late) => (late.as_secs_f64() * rate + 1e-6).floor() as usize + 1,
            None => 0,
        }
    }

    /// Says that so many records were given.
    pub fn gave(&mut self, records: usize) {
        if let (Some(rate), Some(due)) = (self.rate, self.due.as_mut()) {
            *due += Duration::from_secs_f64(records as f64 / rate);
        }
    }

    /// How long until it is worth asking again.
    pub fn wait(&self) -> Duration {
        match (self.rate, self.due) {
            (Some(_), Some(due)) => match due.checked_sub(self.clock.now()) {
                Some(wait) => wait.max(STEP),
                None => Duration::ZERO,
            },
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClock;

    #[test]
    fn keeps_the_rate_and_catches_up_on_a_second_at_most() {
        let clock = TestClock::new();
        let mut pace = Pace::new(Some(100.0), clock.clone());
        assert_eq!(pace.allowed(), 1);
        pace.gave(1);
        assert_eq!(pace.allowed(), 0);
        assert!(pace.wait() > Duration::ZERO);
        clock.advance(Duration::from_millis(50));
        assert_eq!(pace.allowed(), 5);
        pace.gave(3);
        assert_eq!(pace.allowed(), 2);
        clock.advance(Duration::from_secs(60));
        assert_eq!(pace.allowed(), 101);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut pace = Pace::new(None, TestClock::new());
        assert_eq!(pace.allowed(), usize::MAX);
        pace.gave(1_000_000);
        assert_eq!(pace.wait(), Duration::ZERO);
    }
}
