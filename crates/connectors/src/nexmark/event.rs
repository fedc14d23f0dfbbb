//! What all Nexmark events have: a number, a time, and the persons and auctions there are by then.

use crate::random::Random;

/// After so many events the kinds repeat: one person, three auctions, 46 bids.
pub const CYCLE: u64 = 50;
const AUCTIONS_PER_CYCLE: u64 = 3;

pub const FIRST_ID: i64 = 1000;
/// One in so many persons and auctions is a popular one.
const HOT_STEP: u64 = 100;
/// Sellers and bidders are the newest so many persons.
const ACTIVE_PERSONS: u64 = 1000;
/// Bids go to the newest so many auctions.
const OPEN_AUCTIONS: u64 = 100;
/// Ids may run ahead of the person or auction by so many.
const ID_LEAD: u64 = 10;

/// 2015-07-15 00:00:00, when the auction house opens.
const FIRST_MICROS: i64 = 1_436_918_400_000_000;

/// One event, before its columns are made up.
pub struct Event {
    pub number: u64,
    pub seed: u64,
    /// Events per second of event time.
    pub rate: f64,
}

impl Event {
    /// The source of everything random in the event.
    pub fn random(&self) -> Random {
        Random::of(self.seed, 0, self.number)
    }

    /// Microseconds since 1970, in whole milliseconds.
    pub fn micros(&self) -> i64 {
        self.micros_of(self.number)
    }

    fn micros_of(&self, number: u64) -> i64 {
        let millis = (number as f64 * 1000.0 / self.rate) as i64;
        FIRST_MICROS.saturating_add(millis.saturating_mul(1000))
    }

    /// How long it will take, in microseconds, until as many auctions more have opened as are open.
    pub fn horizon_micros(&self) -> u64 {
        let ahead = OPEN_AUCTIONS * CYCLE / AUCTIONS_PER_CYCLE;
        (self.micros_of(self.number.saturating_add(ahead)) - self.micros()) as u64
    }

    /// The newest person, counted from 0.
    pub fn last_person(&self) -> u64 {
        self.number / CYCLE
    }

    /// The newest auction, counted from 0.
    pub fn last_auction(&self) -> u64 {
        let (cycle, place) = (self.number / CYCLE, self.number % CYCLE);
        let opened = place.min(AUCTIONS_PER_CYCLE);
        (cycle * AUCTIONS_PER_CYCLE + opened).saturating_sub(1)
    }

    /// One of the active persons, counted from 0, or one that is about to come.
    pub fn any_person(&self, random: &mut Random) -> u64 {
        let persons = self.last_person() + 1;
        let active = persons.min(ACTIVE_PERSONS);
        persons - active + random.below(active + ID_LEAD)
    }

    /// One of the open auctions, counted from 0, or one that is about to come.
    pub fn any_auction(&self, random: &mut Random) -> u64 {
        let last = self.last_auction();
        let first = last.saturating_sub(OPEN_AUCTIONS);
        first + random.below(last - first + 1 + ID_LEAD)
    }

    /// The popular person of the moment, counted from 0.
    pub fn hot_person(&self) -> u64 {
        self.last_person() / HOT_STEP * HOT_STEP
    }

    /// The popular auction of the moment, counted from 0.
    pub fn hot_auction(&self) -> u64 {
        self.last_auction() / HOT_STEP * HOT_STEP
    }
}

/// An id from a count.
pub fn id(count: u64) -> i64 {
    FIRST_ID + count as i64
}

/// From 1.00 to a million, in cents; each power of ten is as likely as the next.
pub fn price(random: &mut Random) -> i64 {
    (10f64.powf(random.unit() * 6.0) * 100.0).round() as i64
}

/// A text of 3 to `max` letters and a few spaces.
pub fn text(random: &mut Random, max: usize) -> String {
    let length = 3 + random.below(max as u64 - 3) as usize;
    let mut text = String::with_capacity(length);
    random.letters(length, &mut text);
    text.chars().enumerate().map(|(at, c)| if c == 'z' && at > 0 && at + 1 < length { ' ' } else { c }).collect()
}

/// Letters that fill an event up to about `wanted` bytes, a fifth more or less.
pub fn filler(random: &mut Random, used: usize, wanted: usize) -> String {
    let missing = wanted.saturating_sub(used);
    let spread = missing / 5;
    let length = missing - spread + random.below(2 * spread as u64 + 1) as usize;
    let mut text = String::with_capacity(length);
    random.letters(length, &mut text);
    text
}
