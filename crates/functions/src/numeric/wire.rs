//! PostgreSQL's binary format of numeric, as its numeric_send writes and its numeric_recv reads it.
//!
//! Digit count, power of 10,000 of the first digit, sign, display scale, then the digits of base 10,000: 16 bits each,
//! big end first. Zero digits at both ends are left out. NaN and infinities are signs without digits.

use num_bigint::{BigInt, BigUint, Sign};

use super::Numeric;
use super::base10000::Digits;
use super::digits::power_of_ten;
use crate::PgError;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
/// What stands for an infinity's display scale, which is none.
const INFINITY_SCALE: u16 = 0x0020;
/// The bits that a display scale can have.
const SCALE_MASK: u16 = 0x3FFF;
const BASE: u16 = 10_000;
const DECIMALS: i32 = 4;
const HEADER_BYTES: usize = 8;

fn invalid(message: &str) -> PgError {
    PgError::new(b"22P03", message)
}

impl Numeric {
    /// Appends the value in PostgreSQL's binary format.
    pub fn to_wire(&self, out: &mut Vec<u8>) {
        let mut word = |value: u16| out.extend_from_slice(&value.to_be_bytes());
        let special = match self {
            Numeric::NaN => Some(NAN),
            Numeric::Infinity => Some(INFINITY),
            Numeric::NegativeInfinity => Some(NEGATIVE_INFINITY),
            _ => None,
        };
        if let Some(sign) = special {
            let scale = if self.is_nan() { 0 } else { INFINITY_SCALE };
            return [0, 0, sign, scale].into_iter().for_each(word);
        }
        let number = Digits::from_numeric(self);
        word(number.digits.len() as u16);
        word(number.weight as i16 as u16);
        word(if number.negative { NEGATIVE } else { POSITIVE });
        word(number.scale as u16);
        for digit in number.digits {
            word(digit as u16);
        }
    }

    /// The value in PostgreSQL's binary format. Digits beyond the display scale are cut off.
    ///
    /// # Errors
    /// 22P03 or 08P01 for bytes that are no numeric, 22003 if the value has more digits than a numeric can have.
    pub fn from_wire(bytes: &[u8]) -> Result<Numeric, PgError> {
        let cut_short = || PgError::new(b"08P01", "insufficient data left in message");
        let (header, digits) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(cut_short)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (count, weight, sign, scale) = (usize::from(word(0)), i32::from(word(2) as i16), word(4), word(6));
        if ![POSITIVE, NEGATIVE, NAN, INFINITY, NEGATIVE_INFINITY].contains(&sign) {
            return Err(invalid("invalid sign in external \"numeric\" value"));
        }
        if scale & SCALE_MASK != scale {
            return Err(invalid("invalid scale in external \"numeric\" value"));
        }
        let mut pairs = digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        if pairs.by_ref().take(count).any(|digit| digit >= BASE) {
            return Err(invalid("invalid digit in external \"numeric\" value"));
        }
        match digits.len().cmp(&(2 * count)) {
            std::cmp::Ordering::Less => return Err(cut_short()),
            std::cmp::Ordering::Greater => return Err(invalid("incorrect binary data format")),
            std::cmp::Ordering::Equal => {}
        }
        match sign {
            NAN => return Ok(Numeric::NaN),
            INFINITY => return Ok(Numeric::Infinity),
            NEGATIVE_INFINITY => return Ok(Numeric::NegativeInfinity),
            _ => {}
        }
        // Digits that reach beyond the scale need not be read, except for the one that it cuts.
        let kept = (weight + 1 + (i32::from(scale) + DECIMALS - 1) / DECIMALS).clamp(0, count as i32) as usize;
        let base100: Vec<u8> = digits[..2 * kept]
            .chunks_exact(2)
            .flat_map(|pair| {
                let digit = u16::from_be_bytes([pair[0], pair[1]]);
                [(digit / 100) as u8, (digit % 100) as u8]
            })
            .collect();
        let magnitude = BigUint::from_radix_be(&base100, 100).unwrap_or_default();
        if magnitude == BigUint::ZERO {
            return Ok(Numeric::Small { value: 0, scale });
        }
        let shift = DECIMALS * (weight + 1 - kept as i32) + i32::from(scale);
        let power = power_of_ten(shift.unsigned_abs());
        let value = BigInt::from_biguint(if sign == NEGATIVE { Sign::Minus } else { Sign::Plus }, magnitude);
        Numeric::from_parts(if shift < 0 { value / power } else { value * power }, scale.into())
    }
}
