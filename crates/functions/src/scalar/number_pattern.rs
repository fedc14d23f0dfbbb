//! Number patterns of `to_char`: `9 0 . , D G S MI PL SG PR L FM` and `TH`.

use super::numeric_math::rescale;
use crate::PgError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A place before the first digit.
    Plain,
    /// `S` at the front or the end.
    Front,
    Back,
    /// `MI` at the end: − or a blank.
    Minus,
    /// `PR`: angle brackets.
    Brackets,
}

/// How many places after the point a pattern shows.
pub(super) fn pattern_places(pattern: &str) -> i8 {
    let fraction = pattern.find(['.', 'D', 'd']).map_or("", |place| &pattern[place + 1..]);
    fraction.chars().filter(|c| matches!(c, '9' | '0')).count().min(30) as i8
}

/// A number (value × 10^−scale) by a pattern; `#` in every place if it has too many digits.
pub(super) fn format_number(value: i128, scale: i8, pattern: &str) -> Result<String, PgError> {
    let upper = pattern.to_ascii_uppercase();
    let (fill, upper) = match upper.strip_prefix("FM") {
        Some(rest) => (false, rest.to_owned()),
        None => (true, upper),
    };
    let mut sign = Sign::Plain;
    let mut body = upper.as_str();
    for (ending, kind) in [("MI", Sign::Minus), ("PR", Sign::Brackets), ("S", Sign::Back)] {
        if let Some(rest) = body.strip_suffix(ending) {
            (body, sign) = (rest, kind);
            break;
        }
    }
    if let Some(rest) = body.strip_prefix('S') {
        (body, sign) = (rest, Sign::Front);
    }
    let (whole, fraction) = match body.find(['.', 'D']) {
        Some(place) => (&body[..place], Some(&body[place + 1..])),
        None => (body, None),
    };
    if let Some(unknown) = body.chars().find(|c| !matches!(c, '9' | '0' | '.' | ',' | 'D' | 'G' | ' ' | 'L' | '$')) {
        return Err(PgError::new(b"42601", format!("\"{unknown}\" is not supported in a number pattern")));
    }
    let places = fraction.map_or(0, |f| f.chars().filter(|c| matches!(c, '9' | '0')).count());
    let rounded = i8::try_from(places).ok().and_then(|places| rescale(value, scale, places));
    let rounded = rounded.ok_or_else(|| PgError::new(b"22003", "number is out of range for to_char"))?;
    let digits = format!("{:0width$}", rounded.unsigned_abs(), width = places + 1);
    let (whole_digits, fraction_digits) = digits.split_at(digits.len() - places);
    let whole_digits = whole_digits.trim_start_matches('0');

    let mut out = whole_part(whole, whole_digits, places > 0);
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(&fraction_part(fraction, fraction_digits, fill));
    }
    Ok(signed(out, sign, rounded < 0, fill))
}

/// The digits before the point in their places: blanks before the first, or zeros from the first `0` on.
fn whole_part(pattern: &str, digits: &str, has_fraction: bool) -> String {
    let slots = pattern.chars().filter(|c| matches!(c, '9' | '0')).count();
    let overflows = digits.len() > slots;
    let mut out = String::new();
    let mut slot = 0;
    let mut begun = false;
    for c in pattern.chars() {
        match c {
            '9' | '0' => {
                let from_end = slots - slot;
                slot += 1;
                begun |= c == '0' || from_end <= digits.len();
                if overflows {
                    out.push('#');
                } else if from_end <= digits.len() {
                    out.push_str(&digits[digits.len() - from_end..=digits.len() - from_end]);
                } else if begun || (from_end == 1 && !has_fraction) {
                    out.push('0');
                    begun = true;
                } else {
                    out.push(' ');
                }
            }
            ',' | 'G' => out.push(if begun || overflows { ',' } else { ' ' }),
            ' ' => out.push(' '),
            _ => {}
        }
    }
    out
}

fn fraction_part(pattern: &str, digits: &str, fill: bool) -> String {
    let zeros = pattern.rfind('0').map_or(0, |place| place + 1);
    let kept = if fill { digits.len() } else { digits.trim_end_matches('0').len().max(zeros) };
    digits[..kept.min(digits.len())].to_owned()
}

/// Puts the sign beside the first digit or at the end.
fn signed(body: String, sign: Sign, negative: bool, fill: bool) -> String {
    let start = body.find(|c| c != ' ').unwrap_or(body.len());
    let (blanks, number) = body.split_at(start);
    let blanks = if fill { blanks } else { "" };
    let mark = |plus: &'static str| if negative { "-" } else { plus };
    match sign {
        Sign::Plain => format!("{blanks}{}{number}", mark(if fill { " " } else { "" })),
        Sign::Front => format!("{blanks}{}{number}", mark("+")),
        Sign::Back => format!("{blanks}{number}{}", mark("+")),
        Sign::Minus => format!("{blanks}{number}{}", mark(if fill { " " } else { "" })),
        Sign::Brackets if negative => format!("{blanks}<{number}>"),
        Sign::Brackets if fill => format!("{blanks} {number} "),
        Sign::Brackets => number.to_owned(),
    }
}
