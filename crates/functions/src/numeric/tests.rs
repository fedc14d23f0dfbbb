//! Values against what PostgreSQL 15 answers, and the laws of the encoding.

use super::*;

fn n(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

#[test]
fn text_goes_there_and_back() {
    for text in
        ["0", "0.00", "-1.50", "0.0000015", "12345678901234567890123456789012345678901234567890.5", "NaN", "-Infinity"]
    {
        assert_eq!(n(text).to_string(), text);
    }
    for (text, expected) in [
        (" 1e3 ", "1000"),
        ("1.5e-3", "0.0015"),
        (".5", "0.5"),
        ("-0.0", "0.0"),
        ("+5.", "5"),
        ("1e 2", "100"),
        ("iNf", "Infinity"),
        ("-inF ", "-Infinity"),
    ] {
        assert_eq!(n(text).to_string(), expected);
    }
    for text in ["", ".", "1..2", "1e", "e1", "1 2", "--1", "1.2.3", "infinit", "-nan", "1e1x"] {
        assert_eq!(Numeric::parse(text).map_err(|e| e.sqlstate.as_str().to_owned()), Err("22P02".to_owned()), "{text}");
    }
    for text in ["1e131072", "1e-16384", "1e2147483648", "1e99999999999999999999"] {
        assert_eq!(Numeric::parse(text).map_err(|e| e.message), Err("value overflows numeric format".to_owned()));
    }
    assert!(n("1e131071").is_finite() && n("1e-16383").is_finite());
}

/// Values of every kind, in order; those in one group are equal.
fn groups() -> Vec<Vec<Numeric>> {
    [
        "-Infinity",
        "-1e131071",
        "-1e200",
        "-123456789012345678901234567890123456789012345678901234567890",
        "-170141183460469231731687303715884105729",
        "-170141183460469231731687303715884105728",
        "-1000001|-1000001.0",
        "-1000000|-1000000.0000",
        "-101",
        "-100.0001",
        "-100|-100.0|-100.00",
        "-99.99",
        "-10|-10.0",
        "-1.01",
        "-1|-1.000",
        "-0.5|-0.50",
        "-1e-100",
        "-1e-16383",
        "0|0.0|0.00|0.000",
        "1e-16383",
        "1.1e-200",
        "1e-61",
        "1e-60",
        "1e-17",
        "0.05",
        "0.5|0.50",
        "0.55",
        "1|1.0|1.00000000000000000000000000000000000000000000",
        "1.01|1.010",
        "1.1",
        "9",
        "10",
        "10.1",
        "11",
        "99",
        "99.9|99.90",
        "100|100.0",
        "1234567.89",
        "12345678901234567890123456789012345678",
        "123456789012345678901234567890123456789",
        "170141183460469231731687303715884105727",
        "170141183460469231731687303715884105728",
        "1e183",
        "1e184",
        "1e185",
        "9.9e131071",
        "Infinity",
        "NaN",
    ]
    .map(|group| group.split('|').map(n).collect())
    .to_vec()
}

#[test]
fn bytes_sort_as_values_and_then_by_scale() {
    let all: Vec<(usize, Numeric)> =
        groups().into_iter().enumerate().flat_map(|(at, group)| group.into_iter().map(move |v| (at, v))).collect();
    for (i, a) in &all {
        let left = a.to_bytes();
        assert_eq!(Numeric::decode(&left), Ok(a.clone()));
        assert!(left.len() >= 3);
        for (j, b) in &all {
            let right = b.to_bytes();
            assert_eq!(a.cmp_value(b), i.cmp(j), "{a} {b}");
            assert_eq!(compare_encoded(&left, &right), i.cmp(j), "{a} {b}");
            assert_eq!(left.cmp(&right), i.cmp(j).then_with(|| a.scale().cmp(&b.scale())), "{a} {b}");
            assert_eq!(left[..left.len() - 2] == right[..right.len() - 2], i == j);
        }
        // Without its scale, a value is read with the scale that it needs.
        let mut canonical = left.clone();
        let end = canonical.len();
        canonical[end - 2..].fill(0);
        assert_eq!(Numeric::decode(&canonical), Ok(a.trim_scale()), "{a}");
    }
}

#[test]
fn damaged_bytes_are_refused() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    for _ in 0..200_000 {
        let length = usize::from(random() % 12);
        let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
        if let Ok(value) = Numeric::decode(&bytes) {
            let again = value.to_bytes();
            assert_eq!(compare_encoded(&again, &bytes), std::cmp::Ordering::Equal, "{bytes:?}");
        }
    }
}

#[test]
fn quotients_have_sixteen_digits() {
    for (a, b, expected) in [
        ("1", "3", "0.33333333333333333333"),
        ("10", "3", "3.3333333333333333"),
        ("100000", "7", "14285.714285714286"),
        ("7", "7", "1.00000000000000000000"),
        ("0", "7", "0.00000000000000000000"),
        ("1e131071", "3", &"3".repeat(131071)),
    ] {
        assert_eq!(n(a).divide(&n(b)).unwrap().to_string(), expected, "{a} / {b}");
    }
    assert_eq!(n("5").divide(&n("0.0")), Err(PgError::division_by_zero()));
    assert_eq!(n("-5.5").remainder(&n("2")).unwrap().to_string(), "-1.5");
    assert_eq!(n("-5.5").div_trunc(&n("2")).unwrap().to_string(), "-2");
    assert_eq!(n("1.50").multiply(&n("2.0")).unwrap().to_string(), "3.000");
    assert_eq!(n("1.5").add(&n("2.25")).unwrap().to_string(), "3.75");
}

#[test]
fn conversions() {
    assert_eq!(n("1.005").to_decimal(10, 2), Ok(101));
    assert_eq!(n("-1.005").to_decimal(10, 2), Ok(-101));
    assert_eq!(n("1e40").to_decimal(38, 0).map_err(|e| e.message), Err("numeric field overflow".to_owned()));
    assert_eq!(n("12345").to_decimal(3, -2), Ok(123));
    assert_eq!(n("99999").round_to(3, -2).map_err(|e| e.message), Err("numeric field overflow".to_owned()));
    assert_eq!(n("12355").round_to(3, -2).unwrap().to_string(), "12400");
    assert_eq!(n("0.00555").round_to(2, 4).unwrap().to_string(), "0.0056");
    assert!(n("0.0555").round_to(2, 4).is_err());
    assert_eq!(Numeric::from_f64(0.1 + 0.2).to_string(), "0.3");
    assert_eq!(Numeric::from_f64(1.5e20).to_string(), "150000000000000000000");
    assert_eq!(Numeric::from_f64(1000000000000005.0).to_string(), "1000000000000000");
    assert_eq!(Numeric::from_f32(16777216.0).to_string(), "16777200");
    assert_eq!(
        n("2147483647.5").to_integer(i32::MIN.into(), i32::MAX.into(), "integer").map_err(|e| e.message),
        Err("integer out of range".to_owned())
    );
    assert_eq!(n("-2.5").to_integer(i32::MIN.into(), i32::MAX.into(), "integer"), Ok(-3));
    assert_eq!(n("1e400").to_f64().map_err(|e| e.sqlstate.as_str().to_owned()), Err("22003".to_owned()));
    assert_eq!(n("0.1").to_f32(), Ok(0.1));
    assert_eq!(Numeric::from_decimal(5, -3).to_string(), "5000");
    assert_eq!(n("-0.5").ceil().unwrap().to_string(), "0");
    assert_eq!(n("-0.5").floor().unwrap().to_string(), "-1");
    assert_eq!(n("-2.55").round(1).unwrap().to_string(), "-2.6");
    assert_eq!(n("1550").round(-2).unwrap().to_string(), "1600");
    assert_eq!(n("1.500").trim_scale().to_string(), "1.5");
}
