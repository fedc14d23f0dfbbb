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
    let all: Vec<(usize, Numeric, Vec<u8>)> = groups()
        .into_iter()
        .enumerate()
        .flat_map(|(at, group)| {
            group.into_iter().map(move |value| {
                let bytes = value.to_bytes();
                (at, value, bytes)
            })
        })
        .collect();
    for (i, a, left) in &all {
        assert_eq!(Numeric::decode(left), Ok(a.clone()));
        for (j, b, right) in &all {
            assert_eq!(a.cmp_value(b), i.cmp(j), "{a} {b}");
            assert_eq!(compare_encoded(left, right), i.cmp(j), "{a} {b}");
            assert_eq!(left.cmp(right), i.cmp(j).then_with(|| a.scale().cmp(&b.scale())), "{a} {b}");
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

#[test]
fn answers_are_those_of_postgresql() {
    let mut wrong = Vec::new();
    for line in include_str!("cases.txt").lines() {
        let (call, expected) = line.split_once(") => ").unwrap();
        let (function, arguments) = call.split_once('(').unwrap();
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let answer = cases::answer(function, &arguments);
        if answer != expected {
            wrong.push(format!("{line}\n    here: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn binary_format_takes_what_postgresql_takes() {
    let answer = |hex: &str| cases::answer("recv", &[hex]);
    assert_eq!(answer("0001000000000000"), "error 08P01: insufficient data left in message");
    assert_eq!(answer("00010000000000000001"), "1");
    assert_eq!(answer("0001000040000002ffff"), "error 22P03: invalid digit in external \"numeric\" value");
    assert_eq!(answer("00010000123400020001"), "error 22P03: invalid sign in external \"numeric\" value");
    assert_eq!(answer("0001000000007fff0001"), "error 22P03: invalid scale in external \"numeric\" value");
    assert_eq!(answer("000100000000000000010000"), "error 22P03: incorrect binary data format");
    // What the scale hides is cut off; zero digits at the front are none.
    assert_eq!(answer("000200004000000100011999"), "-1.6");
    assert_eq!(answer("0002000100000000000004d2"), "1234");
    assert_eq!(answer("00018000000000000001"), "0");
    assert_eq!(
        answer("00017fff000000000001").len(),
        "10000000000000000000...00000000000000000000 (131069 characters)".len()
    );
    let mut state = 3u64;
    for _ in 0..2_000 {
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..6 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            bytes.extend_from_slice(&((state >> 40) as u16 & 0x1fff).to_be_bytes());
        }
        bytes[0] = 0;
        bytes[1] = 2;
        bytes[4..6].fill(0);
        let _ = Numeric::from_wire(&bytes);
    }
}

#[test]
fn random_numbers_keep_their_order() {
    let mut state = 5u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut last = (Numeric::ZERO, Numeric::ZERO.to_bytes());
    for _ in 0..50_000 {
        let digits: String = (0..random(50) + 1)
            .map(|_| char::from(b'0' + [0, 0, 9, 1, random(10) as u8][random(5) as usize]))
            .collect();
        let sign = ["", "-"][random(2) as usize];
        let value = n(&format!("{sign}{digits}e{}", random(120) as i64 - 60));
        let bytes = value.to_bytes();
        assert_eq!(Numeric::decode(&bytes).as_ref(), Ok(&value));
        assert_eq!(value.cmp_value(&last.0), compare_encoded(&bytes, &last.1), "{value} {}", last.0);
        assert_eq!(n(&value.to_string()), value);
        let difference = value.subtract(&last.0).unwrap();
        assert_eq!(difference.add(&last.0).unwrap().cmp_value(&value), Ordering::Equal);
        assert_eq!(difference.signum(), value.cmp_value(&last.0) as i32);
        last = (value, bytes);
    }
}
