//! Bids: who offers how much for which auction, and by which channel.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, SchemaRef};

use super::event::{Event, filler, id, price};
use crate::random::Random;

const HOT_CHANNELS: &[&str] = &["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
/// One bid in so many is not for the popular auction, not by the popular bidder, not by a popular channel.
const HOT_AUCTION_RATIO: u64 = 2;
const HOT_BIDDER_RATIO: u64 = 4;
const HOT_CHANNEL_RATIO: u64 = 2;
const BYTES: usize = 100;

/// The columns of `bid`.
pub fn schema() -> SchemaRef {
    super::schema(&[
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("date_time", super::TIMESTAMP),
        ("extra", DataType::Utf8),
    ])
}

/// The rows of the given events.
pub fn columns(events: &mut dyn Iterator<Item = Event>) -> Vec<ArrayRef> {
    let mut auctions = Int64Builder::new();
    let mut bidders = Int64Builder::new();
    let mut prices = Int64Builder::new();
    let mut channels = StringBuilder::new();
    let mut urls = StringBuilder::new();
    let mut times = TimestampMicrosecondBuilder::new();
    let mut extras = StringBuilder::new();
    for event in events {
        let mut random = event.random();
        let hot = random.below(HOT_AUCTION_RATIO) > 0;
        let auction = if hot { event.hot_auction() } else { event.any_auction(&mut random) };
        let hot = random.below(HOT_BIDDER_RATIO) > 0;
        // The popular bidder is not the popular seller.
        let bidder = if hot { event.hot_person() + 1 } else { event.any_person(&mut random) };
        let price = price(&mut random);
        let (channel, url) = channel(&mut random, event.seed);
        auctions.append_value(id(auction));
        bidders.append_value(id(bidder));
        prices.append_value(price);
        channels.append_value(channel);
        urls.append_value(url);
        times.append_value(event.micros());
        extras.append_value(filler(&mut random, 32, BYTES));
    }
    vec![
        Arc::new(auctions.finish()),
        Arc::new(bidders.finish()),
        Arc::new(prices.finish()),
        Arc::new(channels.finish()),
        Arc::new(urls.finish()),
        Arc::new(times.finish()),
        Arc::new(extras.finish()),
    ]
}

/// A channel and its address, which is always the same for the same channel.
fn channel(random: &mut Random, seed: u64) -> (String, String) {
    let hot = random.below(HOT_CHANNEL_RATIO) > 0;
    let number = random.below(if hot { HOT_CHANNELS.len() as u64 } else { CHANNELS });
    let mut own = Random::of(seed, if hot { 1 } else { 2 }, number);
    let mut url = "https://www.nexmark.com".to_owned();
    for _ in 0..3 {
        url.push('/');
        own.letters(5, &mut url);
    }
    url.push_str("/item.htm?query=1");
    if hot {
        return (HOT_CHANNELS[number as usize].to_owned(), url);
    }
    if own.below(10) > 0 {
        url.push_str(&format!("&channel_id={}", (number as u32).reverse_bits()));
    }
    (format!("channel-{number}"), url)
}
