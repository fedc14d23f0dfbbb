//! Auctions: what is for sale, from whom and until when.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, SchemaRef};

use super::event::{Event, filler, id, price, text};

const FIRST_CATEGORY: i64 = 10;
const CATEGORIES: u64 = 5;
/// One auction in so many is not by the popular seller.
const HOT_SELLER_RATIO: u64 = 4;
const BYTES: usize = 500;

/// The columns of `auction`.
pub fn schema() -> SchemaRef {
    super::schema(&[
        ("id", DataType::Int64),
        ("item_name", DataType::Utf8),
        ("description", DataType::Utf8),
        ("initial_bid", DataType::Int64),
        ("reserve", DataType::Int64),
        ("date_time", super::TIMESTAMP),
        ("expires", super::TIMESTAMP),
        ("seller", DataType::Int64),
        ("category", DataType::Int64),
        ("extra", DataType::Utf8),
    ])
}

/// The rows of the given events.
pub fn columns(events: &mut dyn Iterator<Item = Event>) -> Vec<ArrayRef> {
    let mut ids = Int64Builder::new();
    let mut names = StringBuilder::new();
    let mut descriptions = StringBuilder::new();
    let mut initial_bids = Int64Builder::new();
    let mut reserves = Int64Builder::new();
    let mut times = TimestampMicrosecondBuilder::new();
    let mut expiries = TimestampMicrosecondBuilder::new();
    let mut sellers = Int64Builder::new();
    let mut categories = Int64Builder::new();
    let mut extras = StringBuilder::new();
    for event in events {
        let mut random = event.random();
        let name = text(&mut random, 20);
        let description = text(&mut random, 100);
        let initial_bid = price(&mut random);
        let reserve = initial_bid + price(&mut random);
        let hot = random.below(HOT_SELLER_RATIO) > 0;
        let seller = if hot { event.hot_person() } else { event.any_person(&mut random) };
        let category = FIRST_CATEGORY + random.below(CATEGORIES) as i64;
        let open_millis = 1 + random.below((event.horizon_micros() / 1000 * 2).max(1)) as i64;
        ids.append_value(id(event.last_auction()));
        extras.append_value(filler(&mut random, 56 + name.len() + description.len(), BYTES));
        names.append_value(name);
        descriptions.append_value(description);
        initial_bids.append_value(initial_bid);
        reserves.append_value(reserve);
        times.append_value(event.micros());
        expiries.append_value(event.micros() + open_millis * 1000);
        sellers.append_value(id(seller));
        categories.append_value(category);
    }
    vec![
        Arc::new(ids.finish()),
        Arc::new(names.finish()),
        Arc::new(descriptions.finish()),
        Arc::new(initial_bids.finish()),
        Arc::new(reserves.finish()),
        Arc::new(times.finish()),
        Arc::new(expiries.finish()),
        Arc::new(sellers.finish()),
        Arc::new(categories.finish()),
        Arc::new(extras.finish()),
    ]
}
