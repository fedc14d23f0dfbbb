//! Persons: those who sell and bid.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, SchemaRef};

use super::event::{Event, filler, id};

const FIRST_NAMES: &[&str] =
    &["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: &[&str] = &["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: &[&str] =
    &["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];
const BYTES: usize = 200;

/// The columns of `person`.
pub fn schema() -> SchemaRef {
    super::schema(&[
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("email_address", DataType::Utf8),
        ("credit_card", DataType::Utf8),
        ("city", DataType::Utf8),
        ("state", DataType::Utf8),
        ("date_time", super::TIMESTAMP),
        ("extra", DataType::Utf8),
    ])
}

/// The rows of the given events.
pub fn columns(events: &mut dyn Iterator<Item = Event>) -> Vec<ArrayRef> {
    let mut ids = Int64Builder::new();
    let mut names = StringBuilder::new();
    let mut emails = StringBuilder::new();
    let mut cards = StringBuilder::new();
    let mut cities = StringBuilder::new();
    let mut states = StringBuilder::new();
    let mut times = TimestampMicrosecondBuilder::new();
    let mut extras = StringBuilder::new();
    for event in events {
        let mut random = event.random();
        let name = format!("{} {}", random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
        let mut email = String::new();
        random.letters(7, &mut email);
        email.push('@');
        random.letters(5, &mut email);
        email.push_str(".com");
        let mut part = || random.below(10_000);
        let card = format!("{:04} {:04} {:04} {:04}", part(), part(), part(), part());
        let (city, state) = (random.pick(CITIES), random.pick(STATES));
        let used = 16 + name.len() + email.len() + card.len() + city.len() + state.len();
        ids.append_value(id(event.last_person()));
        names.append_value(name);
        emails.append_value(email);
        cards.append_value(card);
        cities.append_value(city);
        states.append_value(state);
        times.append_value(event.micros());
        extras.append_value(filler(&mut random, used, BYTES));
    }
    vec![
        Arc::new(ids.finish()),
        Arc::new(names.finish()),
        Arc::new(emails.finish()),
        Arc::new(cards.finish()),
        Arc::new(cities.finish()),
        Arc::new(states.finish()),
        Arc::new(times.finish()),
        Arc::new(extras.finish()),
    ]
}
