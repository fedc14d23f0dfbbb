//! Numbers of base-10,000 digits, for functions whose last place depends on how PostgreSQL rounds on the way.
//!
//! PostgreSQL drops what is far behind the wanted place from a product before it rounds it, keeps results at scales it
//! estimates, and goes by the weight of the first digit. The operations here do the same on the same digits; sums,
//! quotients and roots are exact up to the rounding at the end.

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

use super::Numeric;
use super::digits::{Rounding, divide, power_of_ten};
use crate::PgError;

/// The base of the digits, and how many decimal digits one of them has.
const BASE: u32 = 10_000;
pub(super) const DECIMALS: i32 = 4;
/// Digits behind the wanted place that a product is computed with.
const GUARD_DIGITS: i32 = 2;

/// `±0.d₀d₁… · 10,000^(weight + 1)`, d₀ and the last digit not zero; zero has no digits and weight 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub negative: bool,
    pub weight: i32,
    /// Decimal places, zeros at the end included; below zero after rounding before the point.
    pub scale: i32,
    pub digits: Vec<u32>,
}

impl Digits {
    /// A small whole number.
    pub fn from_u32(value: u32) -> Digits {
        let mut result = Digits {
            negative: false,
            weight: 2,
            scale: 0,
            digits: vec![value / (BASE * BASE), value / BASE % BASE, value % BASE],
        };
        result.strip();
        result
    }

    /// Zero with so many decimal places.
    pub fn zero(scale: i32) -> Digits {
        Digits { negative: false, weight: 0, scale, digits: Vec::new() }
    }

    /// The digits of a number; zero for NaN and infinities.
    pub fn from_numeric(value: &Numeric) -> Digits {
        let number = value.base100();
        let scale = value.scale().map_or(0, i32::from);
        if number.digits.is_empty() {
            return Digits::zero(scale);
        }
        let first = number.exponent - 1;
        // An even power of 100 begins in the middle of a digit of base 10,000.
        let half = first.rem_euclid(2) == 0;
        let mut digits = Vec::with_capacity(number.digits.len() / 2 + 1);
        let mut rest = &number.digits[..];
        if let (true, Some((digit, others))) = (half, rest.split_first()) {
            digits.push(u32::from(*digit));
            rest = others;
        }
        for pair in rest.chunks(2) {
            digits.push(u32::from(pair[0]) * 100 + pair.get(1).copied().map_or(0, u32::from));
        }
        Digits { negative: number.negative, weight: first.div_euclid(2), scale, digits }
    }

    /// The number as a value.
    pub fn to_numeric(&self) -> Result<Numeric, PgError> {
        let (value, exponent) = self.to_integer();
        let shift = exponent + self.scale;
        let value = if shift >= 0 {
            value * power_of_ten(shift as u32)
        } else {
            // Only zeros go: the last digit reaches beyond the scale by at most three decimals.
            value / power_of_ten(shift.unsigned_abs())
        };
        Numeric::from_parts(value, self.scale)
    }

    /// All digits as one whole number, and the power of ten that belongs to it.
    fn to_integer(&self) -> (BigInt, i32) {
        let bytes: Vec<u8> = self.digits.iter().flat_map(|d| [(d / 100) as u8, (d % 100) as u8]).collect();
        let magnitude = BigUint::from_radix_be(&bytes, 100).unwrap_or_default();
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        (BigInt::from_biguint(sign, magnitude), DECIMALS * (self.weight + 1 - self.digits.len() as i32))
    }

    /// `value · 10^−scale`.
    fn from_integer(value: &BigInt, scale: i32) -> Digits {
        // Zeros at the end until the lowest digit begins where one of base 10,000 does.
        let padding = (-scale).rem_euclid(DECIMALS);
        let bytes = (value.magnitude() * 10u32.pow(padding as u32)).to_radix_le(100);
        let mut digits: Vec<u32> =
            bytes.chunks(2).map(|pair| u32::from(pair[0]) + 100 * pair.get(1).copied().map_or(0, u32::from)).collect();
        digits.reverse();
        let weight = digits.len() as i32 - 1 - (scale + padding) / DECIMALS;
        let mut result = Digits { negative: value.sign() == Sign::Minus, weight, scale, digits };
        result.strip();
        result
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The nearest double, an infinity or zero if there is none of that size.
    pub fn to_f64(&self) -> f64 {
        let (value, exponent) = self.to_integer();
        format!("{value}e{exponent}").parse().unwrap_or(0.0)
    }

    /// Takes zeros at both ends away.
    fn strip(&mut self) {
        let first = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..first);
        self.weight -= first as i32;
        let length = self.digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        self.digits.truncate(length);
        if self.digits.is_empty() {
            self.weight = 0;
            self.negative = false;
        }
    }

    /// Rounds half away from zero to so many decimal places.
    pub fn round(&mut self, scale: i32) {
        self.scale = scale;
        let decimals = (self.weight + 1) * DECIMALS + scale;
        if decimals < 0 {
            *self = Digits::zero(scale);
            return;
        }
        let kept = ((decimals + DECIMALS - 1) / DECIMALS) as usize;
        let within = decimals % DECIMALS;
        if kept > self.digits.len() || (kept == self.digits.len() && within == 0) {
            return;
        }
        let mut carry;
        if within == 0 {
            carry = u32::from(self.digits[kept] >= BASE / 2);
            self.digits.truncate(kept);
        } else {
            self.digits.truncate(kept);
            let unit = 10u32.pow((DECIMALS - within) as u32);
            let last = &mut self.digits[kept - 1];
            let extra = *last % unit;
            *last -= extra;
            if extra >= unit / 2 {
                *last += unit;
            }
            carry = u32::from(*last >= BASE);
            *last -= carry * BASE;
            if carry == 1 {
                carry = self.carry_into(kept - 1);
            }
            self.finish_carry(carry);
            return;
        }
        if carry == 1 {
            carry = self.carry_into(kept);
        }
        self.finish_carry(carry);
    }

    /// Adds one to the digit before a position; 1 if that leaves the front.
    fn carry_into(&mut self, position: usize) -> u32 {
        for digit in self.digits[..position].iter_mut().rev() {
            *digit += 1;
            if *digit < BASE {
                return 0;
            }
            *digit = 0;
        }
        1
    }

    fn finish_carry(&mut self, carry: u32) {
        if carry == 1 {
            self.digits.insert(0, 1);
            self.weight += 1;
        }
        self.strip();
    }

    /// The order without signs.
    fn cmp_magnitude(&self, other: &Digits) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (false, false) => self.weight.cmp(&other.weight).then_with(|| self.digits.cmp(&other.digits)),
            (a, b) => b.cmp(&a),
        }
    }

    /// The order of values.
    pub fn cmp(&self, other: &Digits) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (a, b) => b.cmp(&a),
        }
    }

    /// The value with the other sign.
    pub fn negated(&self) -> Digits {
        Digits { negative: !self.negative && !self.is_zero(), ..self.clone() }
    }

    /// The sum, at the larger scale.
    pub fn add(&self, other: &Digits) -> Digits {
        let scale = self.scale.max(other.scale);
        if self.negative != other.negative && self.cmp_magnitude(other) == Ordering::Less {
            return other.add(self);
        }
        let subtract = self.negative != other.negative;
        // A zero has no weight to go by.
        let weight = match (self.is_zero(), other.is_zero()) {
            (_, true) => self.weight,
            (true, _) => other.weight,
            _ => self.weight.max(other.weight),
        } + 1;
        let lowest = |d: &Digits| if d.is_zero() { weight } else { d.weight + 1 - d.digits.len() as i32 };
        let length = (weight + 1 - lowest(self).min(lowest(other))) as usize;
        let mut sums = vec![0i32; length];
        for (place, digit) in self.digits.iter().enumerate() {
            sums[(weight - self.weight) as usize + place] += *digit as i32;
        }
        for (place, digit) in other.digits.iter().enumerate() {
            let digit = *digit as i32;
            sums[(weight - other.weight) as usize + place] += if subtract { -digit } else { digit };
        }
        let mut carry = 0;
        let mut digits = vec![0u32; length];
        for (digit, sum) in digits.iter_mut().zip(&sums).rev() {
            let sum = sum + carry;
            carry = sum.div_euclid(BASE as i32);
            *digit = sum.rem_euclid(BASE as i32) as u32;
        }
        let mut result = Digits { negative: self.negative, weight, scale, digits };
        result.strip();
        result
    }

    /// The difference, at the larger scale.
    pub fn subtract(&self, other: &Digits) -> Digits {
        self.add(&other.negated())
    }

    /// The product at a scale; digits that reach far behind it are left out, as numeric.c's mul_var does.
    pub fn multiply(&self, other: &Digits, scale: i32) -> Digits {
        let (short, long) = if self.digits.len() > other.digits.len() { (other, self) } else { (self, other) };
        if short.is_zero() {
            return Digits::zero(scale);
        }
        let weight = short.weight + long.weight + 2;
        let wanted = weight + 1 + (scale + DECIMALS - 1) / DECIMALS + GUARD_DIGITS;
        let length = ((short.digits.len() + long.digits.len() + 1) as i32).min(wanted);
        if length < 3 {
            return Digits::zero(scale);
        }
        let length = length as usize;
        let mut sums = vec![0u64; length];
        for (i, a) in short.digits.iter().enumerate().take(length - 2) {
            let row = &mut sums[i + 2..];
            for (sum, b) in row.iter_mut().zip(&long.digits) {
                *sum += u64::from(*a) * u64::from(*b);
            }
        }
        let mut carry = 0u64;
        let mut digits = vec![0u32; length];
        for (digit, sum) in digits.iter_mut().zip(&sums).rev() {
            let sum = sum + carry;
            carry = sum / u64::from(BASE);
            *digit = (sum % u64::from(BASE)) as u32;
        }
        let mut result = Digits { negative: short.negative != long.negative, weight, scale, digits };
        result.round(scale);
        result.strip();
        result
    }

    /// The quotient by a number above zero, rounded at a scale.
    pub fn divide_by(&self, divisor: u32, scale: i32) -> Digits {
        if self.is_zero() {
            return Digits::zero(scale);
        }
        let length = (self.weight + 1 + (scale + DECIMALS - 1) / DECIMALS).max(1) as usize + 1;
        let mut rest = 0u64;
        let digits = (0..length)
            .map(|place| {
                rest = rest * u64::from(BASE) + self.digits.get(place).copied().map_or(0, u64::from);
                let digit = rest / u64::from(divisor);
                rest %= u64::from(divisor);
                digit as u32
            })
            .collect();
        let mut result = Digits { negative: self.negative, weight: self.weight, scale, digits };
        result.round(scale);
        result.strip();
        result
    }

    /// The quotient by a number that is not zero, rounded at a scale.
    pub fn divide(&self, divisor: &Digits, scale: i32) -> Digits {
        let ((a, a_exponent), (b, b_exponent)) = (self.to_integer(), divisor.to_integer());
        let shift = a_exponent - b_exponent + scale;
        let power = power_of_ten(shift.unsigned_abs());
        let quotient = if shift >= 0 {
            divide(&(a * power), &b, Rounding::Nearest)
        } else {
            divide(&a, &(b * power), Rounding::Nearest)
        };
        Digits::from_integer(&quotient, scale)
    }

    /// The square root of a number that is not negative, rounded at a scale.
    pub fn sqrt(&self, scale: i32) -> Digits {
        if self.is_zero() {
            return Digits::zero(scale);
        }
        let (value, exponent) = self.to_integer();
        // One place more than wanted, cut off, is all that rounding needs.
        let shift = exponent + 2 * (scale + 1);
        let power = power_of_ten(shift.unsigned_abs());
        let shifted = if shift >= 0 { value * power } else { value / power };
        let root = BigInt::from_biguint(Sign::Plus, shifted.magnitude().sqrt());
        Digits::from_integer(&divide(&root, &BigInt::from(10), Rounding::Nearest), scale)
    }
}
