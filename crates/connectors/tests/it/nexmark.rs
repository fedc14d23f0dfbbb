//! Nexmark's events: their proportions, their references, their times.

use std::collections::HashSet;

use connectors::SourceReader;

use crate::rig::{Read, Source, id_name};

fn open(table: &str, options: &[(&str, &str)]) -> (Source, Box<dyn SourceReader>) {
    let mut all = vec![("table", table)];
    all.extend_from_slice(options);
    let source = Source::new("nexmark", id_name(), &all);
    let schema = connectors::schema_of("nexmark", &source.options, None).unwrap().unwrap();
    let source = Source { schema, ..source };
    let reader = source.open();
    (source, reader)
}

fn rows(table: &str, options: &[(&str, &str)]) -> Vec<Vec<String>> {
    let mut read = Read::default();
    read.drain(open(table, options).1.as_mut(), 10_000);
    read.rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect()
}

#[test]
fn ids_are_dense_and_references_lead_to_them() {
    let options = [("event_count", "50000")];
    let ids = |table| rows(table, &options).iter().map(|row| row[0].parse::<i64>().unwrap()).collect::<Vec<_>>();
    let (persons, auctions) = (ids("person"), ids("auction"));
    assert_eq!(persons, (1000..2000).collect::<Vec<_>>());
    assert_eq!(auctions, (1000..4000).collect::<Vec<_>>());
    // References may run ahead by a few ids.
    let (persons, auctions): (HashSet<i64>, HashSet<i64>) = ((1000..2010).collect(), (1000..4010).collect());
    let bids = rows("bid", &options);
    assert_eq!(bids.len(), 46_000);
    let mut hot = 0;
    for bid in &bids {
        let auction: i64 = bid[0].parse().unwrap();
        assert!(auctions.contains(&auction), "auction {auction}");
        assert!(persons.contains(&bid[1].parse().unwrap()), "bidder {}", bid[1]);
        assert!((100..=100_000_000).contains(&bid[2].parse::<i64>().unwrap()), "price {}", bid[2]);
        hot += usize::from(auction % 100 == 0);
    }
    assert!((20_000..30_000).contains(&hot), "half of the bids go to the popular auction: {hot}");
    for auction in rows("auction", &options) {
        assert!(persons.contains(&auction[7].parse().unwrap()), "seller {}", auction[7]);
        assert!(auction[6] > auction[5], "{} expires before it begins", auction[0]);
        assert!((10..15).contains(&auction[8].parse::<i64>().unwrap()));
    }
}

#[test]
fn times_follow_the_rate_and_rows_the_seed() {
    let (source, mut reader) = open("bid", &[("event_count", "1000"), ("event_rate", "1000")]);
    let mut read = Read::default();
    read.drain(reader.as_mut(), 10);
    source.clock.advance(std::time::Duration::from_millis(900));
    read.drain(reader.as_mut(), 10);
    // The first bid is event 4, and events come a millisecond apart.
    assert!(read.rows[0].contains("|2015-07-15T00:00:00.004|"), "{}", read.rows[0]);
    let seeded = |seed| rows("bid", &[("event_count", "500"), ("seed", seed)]);
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1"), seeded("2"));
    let last = rows("bid", &[("event_count", "9995")]).pop().unwrap();
    assert_eq!(last[5], "2015-07-15T00:00:00.999");
}

#[test]
fn columns_can_be_left_out_but_not_renamed() {
    let (source, _) = open("bid", &[("event_count", "50")]);
    let two = Source { schema: crate::rig::schema(&[("price", arrow::datatypes::DataType::Int64)]), ..source.clone() };
    assert_eq!(two.all(100).rows.len(), 46);
    let renamed = Source { schema: crate::rig::id_name(), ..source };
    assert_eq!(renamed.try_open().err().unwrap().sqlstate(), "42P16");
}
