//! Exact sums of floats: a long fixed-point number into which each float fits without rounding.
//!
//! The value is two's complement, 64-bit limbs low to high, over a window of a line on which bit 0
//! stands for 2^−2240: low enough for the square of the smallest double. The window grows with what is added and
//! shrinks again, so that sums of similar floats take two or three limbs. Since nothing rounds, the order
//! of additions does not matter and what is taken away again leaves no trace.

use num_bigint::BigInt;
use smallvec::SmallVec;

/// Bit 0 of the line stands for 2^−BIAS.
const BIAS: i32 = 2240;
/// Where limbs may lie: beyond the square of the largest double, times 2^63.
const LIMB_MAX: usize = 72;

/// An exact sum. Empty is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExactSum {
    /// Place of the first limb on the line.
    first: usize,
    limbs: SmallVec<[u64; 3]>,
}

/// A finite double as mantissa × 2^exponent.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let (mantissa, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    (if value < 0.0 { -mantissa } else { mantissa }, exponent)
}

impl ExactSum {
    /// Adds value × weight; the value is finite.
    pub fn add(&mut self, value: f64, weight: i64) {
        let (mantissa, exponent) = parts(value);
        self.add_scaled(i128::from(mantissa) * i128::from(weight), exponent);
    }

    /// Adds value² × weight; the value is finite.
    pub fn add_square(&mut self, value: f64, weight: i64) {
        let (mantissa, exponent) = parts(value);
        let square = i128::from(mantissa) * i128::from(mantissa);
        // In halves, so that times the weight each fits 128 bits.
        let (high, low) = (square >> 60, square & ((1 << 60) - 1));
        self.add_scaled(low * i128::from(weight), 2 * exponent);
        self.add_scaled(high * i128::from(weight), 2 * exponent + 60);
    }

    /// Adds a × b × weight; both are finite.
    pub fn add_product(&mut self, a: f64, b: f64, weight: i64) {
        let ((a, a_exponent), (b, b_exponent)) = (parts(a), parts(b));
        let product = i128::from(a) * i128::from(b);
        let (high, low) = (product >> 60, product & ((1 << 60) - 1));
        let exponent = a_exponent + b_exponent;
        self.add_scaled(low * i128::from(weight), exponent);
        self.add_scaled(high * i128::from(weight), exponent + 60);
    }

    /// Adds addend × 2^exponent.
    fn add_scaled(&mut self, addend: i128, exponent: i32) {
        if addend == 0 {
            return;
        }
        let bit = (exponent + BIAS) as usize;
        let (place, shift) = (bit / 64, bit % 64);
        let sign = (addend >> 127) as u64;
        let low = (addend as u64) << shift;
        let middle = ((addend >> 64) as u64) << shift | if shift == 0 { 0 } else { (addend as u64) >> (64 - shift) };
        let high = if shift == 0 { sign } else { ((addend >> 64) as i64 >> (64 - shift)) as u64 };
        self.add_limbs(place, &[low, middle, high]);
    }

    /// Adds a two's complement number whose first limb is at `place`.
    fn add_limbs(&mut self, place: usize, addend: &[u64]) {
        if self.limbs.is_empty() {
            self.first = place;
        }
        while self.first > place {
            self.limbs.insert(0, 0);
            self.first -= 1;
        }
        // One limb more than either number needs, so that no carry is lost.
        let sign = self.sign();
        let end = (place + addend.len()).max(self.first + self.limbs.len()) + 1;
        self.limbs.resize(end - self.first, sign);

        let addend_sign = if addend.last().is_some_and(|top| top >> 63 == 1) { u64::MAX } else { 0 };
        let start = place - self.first;
        let mut carry = false;
        for (i, limb) in self.limbs[start..].iter_mut().enumerate() {
            let part = addend.get(i).copied().unwrap_or(addend_sign);
            let (sum, first) = limb.overflowing_add(part);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
        self.trim();
    }

    /// All bits of the limbs above the window.
    fn sign(&self) -> u64 {
        if self.limbs.last().is_some_and(|top| top >> 63 == 1) { u64::MAX } else { 0 }
    }

    /// Drops limbs that say nothing, so that equal sums look equal.
    fn trim(&mut self) {
        while let [.., below, top] = self.limbs.as_slice() {
            let implied = if below >> 63 == 1 { u64::MAX } else { 0 };
            if *top != implied {
                break;
            }
            self.limbs.pop();
        }
        let zeros = self.limbs.iter().take_while(|limb| **limb == 0).count();
        if zeros == self.limbs.len() {
            *self = ExactSum::default();
        } else if zeros > 0 {
            self.limbs.drain(..zeros);
            self.first += zeros;
        }
    }

    /// Adds another sum.
    pub fn add_sum(&mut self, other: &ExactSum) {
        if !other.limbs.is_empty() {
            self.add_limbs(other.first, &other.limbs);
        }
    }

    /// The sum × 2^2240, a whole number.
    pub fn to_integer(&self) -> BigInt {
        let bytes: Vec<u8> = self.limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        BigInt::from_signed_bytes_le(&bytes) << (self.first * 64)
    }

    /// The nearest double; infinite if the sum is beyond all doubles.
    pub fn to_double(&self) -> f64 {
        let bytes: Vec<u8> = self.limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        double_from_integer(&BigInt::from_signed_bytes_le(&bytes), self.first as i64 * 64 - i64::from(BIAS))
    }

    /// Appends first limb's place, number of limbs, limbs.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&[self.first as u8, self.limbs.len() as u8]);
        for limb in &self.limbs {
            bytes.extend_from_slice(&limb.to_le_bytes());
        }
    }

    /// Reads what `save` wrote and gives the bytes after it.
    pub fn load(bytes: &[u8]) -> Option<(ExactSum, &[u8])> {
        let (&[first, count], mut rest) = bytes.split_first_chunk::<2>()?;
        let mut sum = ExactSum { first: first.into(), limbs: SmallVec::new() };
        for _ in 0..count {
            let (limb, after) = rest.split_first_chunk::<8>()?;
            sum.limbs.push(u64::from_le_bytes(*limb));
            rest = after;
        }
        (usize::from(first) + usize::from(count) <= LIMB_MAX).then_some((sum, rest))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        if self.limbs.spilled() { self.limbs.capacity() * size_of::<u64>() } else { 0 }
    }
}

/// integer × 2^exponent as the nearest double, ties to even.
pub(super) fn double_from_integer(integer: &BigInt, exponent: i64) -> f64 {
    let size = integer.magnitude();
    let bits = size.bits();
    if bits == 0 {
        return 0.0;
    }
    let drop = bits.saturating_sub(64);
    let top = (size >> drop).iter_u64_digits().next().unwrap_or(0);
    // What was dropped only matters as "more than nothing": 64 bits are more than a double's 53 and a guard.
    let sticky = drop > 0 && size.trailing_zeros().unwrap_or(0) < drop;
    let rounded = (top | u64::from(sticky)) as f64;
    let magnitude = scale(rounded, exponent + drop as i64);
    if integer.sign() == num_bigint::Sign::Minus { -magnitude } else { magnitude }
}

/// value × 2^exponent, in steps that do not overflow on the way.
fn scale(mut value: f64, mut exponent: i64) -> f64 {
    while exponent > 1000 && value.is_finite() {
        value *= 2f64.powi(1000);
        exponent -= 1000;
    }
    while exponent < -1000 && value != 0.0 {
        value *= 2f64.powi(-1000);
        exponent += 1000;
    }
    value * 2f64.powi(exponent.clamp(-1000, 1000) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_free_and_all_gone_is_zero() {
        let values = [1e308, -1e308, 1e16, 1.0, -1e16, 5e-324, 0.1, -0.3, f64::MIN_POSITIVE, 3.5e-200];
        let (mut there, mut back) = (ExactSum::default(), ExactSum::default());
        for (i, value) in values.iter().enumerate() {
            there.add(*value, i as i64 + 1);
            back.add(values[values.len() - 1 - i], (values.len() - i) as i64);
        }
        assert_eq!(there, back);
        for (i, value) in values.iter().enumerate() {
            there.add(*value, -(i as i64 + 1));
        }
        assert_eq!(there, ExactSum::default());
    }

    #[test]
    fn sums_round_once() {
        let sum = |values: &[f64]| {
            let mut sum = ExactSum::default();
            values.iter().for_each(|v| sum.add(*v, 1));
            sum.to_double()
        };
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum(&[-2.5]), -2.5);
        assert_eq!(sum(&[9007199254740992.0, 1.0]), 9007199254740992.0);
        assert_eq!(sum(&[9007199254740992.0, 1.0, 5e-324]), 9007199254740994.0);
    }

    #[test]
    fn squares_and_saved_sums_are_exact() {
        let mut sum = ExactSum::default();
        sum.add_square(5e-324, i64::MAX);
        sum.add_square(f64::MAX, i64::MIN);
        let mut bytes = Vec::new();
        sum.save(&mut bytes);
        assert_eq!(ExactSum::load(&bytes), Some((sum.clone(), &[][..])));
        sum.add_square(f64::MAX, i64::MAX);
        sum.add_square(f64::MAX, 1);
        sum.add_square(5e-324, -i64::MAX);
        assert_eq!(sum, ExactSum::default());
        sum.add_square(3.0, 2);
        sum.add_product(3.0, -5.0, 2);
        assert_eq!(sum.to_double(), -12.0);
    }
}
