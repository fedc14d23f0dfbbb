//! TPC-H's rows as lines of COPY: a function of the scale factor, the seed and the row's number.
//!
//! Keys, ranges and formulas are the specification's (section 4.2.3), so that the queries' selectivities are; texts are
//! shorter. Every row has a generator of its own, so any order can be made without those before it.

use chrono::{Days, NaiveDate};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::words::{
    COLORS, COMMENT_WORDS, CONTAINERS, INSTRUCTIONS, MODES, NATIONS, PRIORITIES, REGIONS, SEGMENTS, TYPES,
};

/// The data of one scale factor and seed.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    suppliers: u64,
    parts: u64,
    customers: u64,
    clerks: u64,
    /// Orders of the first load; those after are for refreshes.
    pub orders: u64,
}

/// An order and its items, as lines of COPY.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its key.
    pub key: u64,
    /// The line of `orders`.
    pub line: String,
    /// The lines of `lineitem`.
    pub items: Vec<String>,
}

/// Days from the first possible order to the last.
const ORDER_DAYS: u64 = 2405;

impl Generator {
    /// The data of a scale factor; 1 is about a gigabyte.
    #[must_use]
    pub fn new(scale: f64, seed: u64) -> Generator {
        let of = |rows: f64, least: u64| ((rows * scale) as u64).max(least);
        Generator {
            seed,
            suppliers: of(10_000.0, 10),
            parts: of(200_000.0, 40),
            customers: of(150_000.0, 30),
            clerks: of(1_000.0, 1),
            orders: of(1_500_000.0, 300),
        }
    }

    fn row(&self, table: u64, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed * 16 + table);
        rng.set_stream(number);
        rng
    }

    /// The lines of `region`.
    #[must_use]
    pub fn regions(&self) -> Vec<String> {
        REGIONS
            .iter()
            .enumerate()
            .map(|(key, name)| format!("{key}\t{name}\t{}", comment(&mut self.row(0, 0))))
            .collect()
    }

    /// The lines of `nation`.
    #[must_use]
    pub fn nations(&self) -> Vec<String> {
        let line = |(key, (name, region)): (usize, &(&str, usize))| {
            format!("{key}\t{name}\t{region}\t{}", comment(&mut self.row(1, key as u64)))
        };
        NATIONS.iter().enumerate().map(line).collect()
    }

    /// The lines of `supplier`.
    #[must_use]
    pub fn suppliers(&self) -> Vec<String> {
        let line = |key: u64| {
            let rng = &mut self.row(2, key);
            let nation = rng.random_range(0..25u64);
            // Five of ten thousand; in small data one of them.
            let complains = rng.random_range(0..2000) == 0 || key == 7;
            let comment = if complains { "Customer slyly Complaints".to_owned() } else { comment(rng) };
            format!(
                "{key}\tSupplier#{key:09}\t{}\t{nation}\t{}\t{}\t{comment}",
                address(rng),
                phone(rng, nation),
                cents(rng.random_range(-99_999..=999_999))
            )
        };
        (1..=self.suppliers).map(line).collect()
    }

    /// The lines of `part`.
    #[must_use]
    pub fn parts(&self) -> Vec<String> {
        let colors: Vec<&str> = COLORS.split_whitespace().collect();
        let line = |key: u64| {
            let rng = &mut self.row(3, key);
            let name: Vec<&str> = (0..5).map(|_| one_of(rng, &colors)).collect();
            let (maker, brand) = (rng.random_range(1..=5), rng.random_range(1..=5));
            let kind: Vec<&str> = TYPES.iter().map(|words| one_of(rng, words)).collect();
            let container: Vec<&str> = CONTAINERS.iter().map(|words| one_of(rng, words)).collect();
            format!(
                "{key}\t{}\tManufacturer#{maker}\tBrand#{maker}{brand}\t{}\t{}\t{}\t{}\t{}",
                name.join(" "),
                kind.join(" "),
                rng.random_range(1..=50),
                container.join(" "),
                cents(retail_price(key)),
                comment(rng)
            )
        };
        (1..=self.parts).map(line).collect()
    }

    /// The lines of `partsupp`.
    #[must_use]
    pub fn part_suppliers(&self) -> Vec<String> {
        let line = |n: u64| {
            let (key, place) = (n / 4 + 1, n % 4);
            let rng = &mut self.row(4, n);
            format!(
                "{key}\t{}\t{}\t{}\t{}",
                self.supplier_of(key, place),
                rng.random_range(1..=9999),
                cents(rng.random_range(100..=100_000)),
                comment(rng)
            )
        };
        (0..self.parts * 4).map(line).collect()
    }

    /// One of the four suppliers of a part.
    fn supplier_of(&self, part: u64, place: u64) -> u64 {
        let s = self.suppliers;
        // With few suppliers the specification's step would come round to the same one.
        let step = (part - 1) / s % (s / 12).max(1);
        (part + place * (s / 4 + step)) % s + 1
    }

    /// The lines of `customer`.
    #[must_use]
    pub fn customers(&self) -> Vec<String> {
        let line = |key: u64| {
            let rng = &mut self.row(5, key);
            let nation = rng.random_range(0..25u64);
            format!(
                "{key}\tCustomer#{key:09}\t{}\t{nation}\t{}\t{}\t{}\t{}",
                address(rng),
                phone(rng, nation),
                cents(rng.random_range(-99_999..=999_999)),
                one_of(rng, SEGMENTS),
                comment(rng)
            )
        };
        (1..=self.customers).map(line).collect()
    }

    /// The n-th order, from 0. Of each 32 keys the first 8 are used.
    #[must_use]
    pub fn order(&self, n: u64) -> Order {
        let key = n / 8 * 32 + n % 8 + 1;
        let rng = &mut self.row(6, n);
        // A third of the customers never orders.
        let customer = loop {
            let key = rng.random_range(1..=self.customers);
            if key % 3 != 0 {
                break key;
            }
        };
        let date = first_day() + Days::new(rng.random_range(0..=ORDER_DAYS));
        let (mut total, mut open, mut items) = (0i64, 0usize, Vec::new());
        for number in 1..=rng.random_range(1..=7) {
            let (line, price, is_open) = self.item(rng, key, number, date);
            total += price;
            open += usize::from(is_open);
            items.push(line);
        }
        let status = if open == 0 {
            "F"
        } else if open == items.len() {
            "O"
        } else {
            "P"
        };
        let line = format!(
            "{key}\t{customer}\t{status}\t{}\t{date}\t{}\tClerk#{:09}\t0\t{}",
            cents(total),
            one_of(rng, PRIORITIES),
            rng.random_range(1..=self.clerks),
            comment(rng)
        );
        Order { key, line, items }
    }

    /// A line of `lineitem`, what it costs in cents, and whether it is still to be shipped.
    fn item(&self, rng: &mut ChaCha8Rng, order: u64, number: u64, ordered: NaiveDate) -> (String, i64, bool) {
        let part = rng.random_range(1..=self.parts);
        let supplier = self.supplier_of(part, rng.random_range(0..4));
        let quantity = rng.random_range(1..=50i64);
        let price = quantity * retail_price(part);
        let (discount, tax) = (rng.random_range(0..=10i64), rng.random_range(0..=8i64));
        let shipped = ordered + Days::new(rng.random_range(1..=121));
        let committed = ordered + Days::new(rng.random_range(30..=90));
        let received = shipped + Days::new(rng.random_range(1..=30));
        let today = NaiveDate::from_ymd_opt(1995, 6, 17).unwrap_or_default();
        let returned = if received > today { "N" } else { one_of(rng, &["R", "A"]) };
        let is_open = shipped > today;
        let line = format!(
            "{order}\t{part}\t{supplier}\t{number}\t{quantity}\t{}\t0.{discount:02}\t0.{tax:02}\t{returned}\t{}\t{shipped}\t{committed}\t{received}\t{}\t{}\t{}",
            cents(price),
            if is_open { "O" } else { "F" },
            one_of(rng, INSTRUCTIONS),
            one_of(rng, MODES),
            one_of(rng, COMMENT_WORDS)
        );
        (line, price * (100 + tax) * (100 - discount) / 10_000, is_open)
    }
}

fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(1992, 1, 1).unwrap_or_default()
}

/// In cents.
fn retail_price(part: u64) -> i64 {
    (90_000 + (part / 10) % 20_001 + 100 * (part % 1_000)) as i64
}

fn cents(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100)
}

fn phone(rng: &mut ChaCha8Rng, nation: u64) -> String {
    let mut part = |digits: u32| rng.random_range(10u32.pow(digits - 1)..10u32.pow(digits));
    format!("{}-{}-{}-{}", nation + 10, part(3), part(3), part(4))
}

fn address(rng: &mut ChaCha8Rng) -> String {
    let letters = rng.random_range(10..=20);
    (0..letters).map(|_| char::from(b'a' + rng.random_range(0..26u8))).collect()
}

fn comment(rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = (0..rng.random_range(3..=8)).map(|_| one_of(rng, COMMENT_WORDS)).collect();
    words.join(" ")
}

fn one_of<'a>(rng: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words[rng.random_range(0..words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_function_of_scale_and_seed() {
        let generator = Generator::new(0.01, 7);
        assert_eq!(generator.suppliers().len(), 100);
        assert_eq!(generator.part_suppliers().len(), 8000);
        assert_eq!(generator.order(17).items, Generator::new(0.01, 7).order(17).items);
        assert_eq!(generator.order(8).key, 33);
        let items: usize = (0..1000).map(|n| generator.order(n).items.len()).sum();
        assert!((3500..4500).contains(&items), "{items}");
    }
}
